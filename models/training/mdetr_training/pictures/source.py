"""What every format of data sets gives: entries of a picture, a caption and what it names."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .. import answers
from ..config import SourceConfig

GQA_TYPES = {"obj": 0, "attr": 1, "rel": 2, "global": 3, "cat": 4}
"""Class of GQA's type head by `question_type`."""
UNKNOWN = "unknown"


@dataclass
class Entry:
    """A picture and a caption, with the M objects that the caption names."""

    place: str
    """Where it was found, for errors."""
    picture: str
    """Path of the picture."""
    caption: str
    kind: str = "caption"
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    """[M, 4], corner and size in pixels, or as shares of the picture if `relative`."""
    relative: bool = False
    areas: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    """[M]."""
    spans: list[list[list[int]]] = field(default_factory=list)
    """Per object, of its words."""
    phrases: list[list[list[int]]] | None = None
    """Per phrase that evaluation asks for, of its words; None: those of the objects."""
    final: list[float] | None = None
    """Per object, 1 where a chain of references ends."""
    segmentations: list[Any] | None = None
    """Per object, as `masks.decoded` takes them."""
    answer: dict[str, int] = field(default_factory=dict)
    """Class by answer head."""
    size: tuple[int, int] | None = None
    """Width and height of the picture, if the annotations say so."""
    image_id: int | None = None
    original_id: int | str | None = None
    sentence_id: int | str | None = None
    task_id: int | str | None = None


class Answering:
    """Turns answers into classes of a network's answer heads."""

    def __init__(
        self, kind: str = "", heads: dict[str, int] | None = None, attributes: Sequence[str] = ()
    ):
        """`kind` is "gqa", "clevr" or empty: answers are ignored. `heads` has each head's
        classes."""
        self.kind, self.heads = kind, heads or answers.classes(kind, [])
        self.attributes = list(attributes) or answers.CLEVR_ATTRIBUTES
        self.table: dict[str, dict[str, int]] = {}

    def with_table(self, path: str) -> "Answering":
        """The same, with GQA's table of answers."""
        if self.kind != "gqa":
            return self
        found = Answering(self.kind, self.heads, self.attributes)
        words = answers.words(Path(path), self.heads)
        found.table = {
            head.removeprefix("answer_"): {answer: i for i, answer in enumerate(of_head)}
            for head, of_head in words.items()
        }
        return found

    def known(self, answer: Any, question_type: Any) -> bool:
        """Whether GQA's table has the answer; true of other answers."""
        return self.kind != "gqa" or answer in self.table.get(question_type, {})

    def classes(self, answer: Any, question_type: Any) -> dict[str, int]:
        """Class by head of the heads that are asked. Raises ValueError."""
        if not self.kind or answer is None:
            return {}
        if self.kind == "clevr":
            return answers.targets(str(answer), self.attributes, self.heads["reg"])
        if question_type not in GQA_TYPES:
            raise ValueError(
                f"question_type: expected one of {', '.join(GQA_TYPES)}, found {question_type!r}"
            )
        if not self.table:
            raise ValueError(
                "answer: expected gqa_answer2id_by_type.json as the data set's `answers`, "
                "found none"
            )
        table = self.table[question_type]
        if answer not in table and UNKNOWN not in table:
            raise ValueError(
                f"answer: expected one in the table or {UNKNOWN!r} in it, found {answer!r}"
            )
        number = table.get(answer, table.get(UNKNOWN))
        return {"type": GQA_TYPES[question_type], question_type: number}


class Source:
    """A data set of `records`. In training, an epoch has `len()` entries, whose captions may be
    drawn; in validation there are `fixed` ones, which are always the same."""

    config: SourceConfig
    fixed: int
    records: int

    def __len__(self) -> int:
        raise NotImplementedError

    def drawn(self, index: int, rng: random.Random) -> Entry:
        """An entry as training sees it once."""
        raise NotImplementedError

    def entry(self, index: int) -> Entry:
        """An entry of validation, 0 <= index < `fixed`."""
        raise NotImplementedError

    def longer(self, most: int) -> Iterator[tuple[str, str]]:
        """Place and text of captions of more bytes, as far as they are not drawn to fit."""
        return iter(())

    def phrases(self, most: int) -> Iterator[str]:
        """Different phrases that name things in it, of at most that many entries."""
        return iter(())

    def record(self, index: int) -> Entry:
        """A record with all that is known of it, 0 <= index < `records`, to be checked."""
        raise NotImplementedError


def spread(count: int, most: int) -> np.ndarray:
    """At most `most` of the numbers below `count`, evenly."""
    return np.arange(count) if count <= most else np.arange(most) * count // most
