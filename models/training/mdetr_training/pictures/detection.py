"""Pictures with categories: captions are made of the categories' names."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..config import SourceConfig
from . import names as naming
from .packed import Packed
from .problems import Problems
from .source import Entry, Source

ABSENT_FIXED = 2
"""Captions about something absent per picture, in validation."""


@dataclass
class Shown:
    """All that a picture shows, of M objects."""

    place: str
    picture: str
    boxes: np.ndarray
    """[M, 4], as of `Entry`."""
    relative: bool
    areas: np.ndarray
    """[M]."""
    names: list[int]
    """Per object, the number of its name."""
    crowds: list[int]
    """Names that there are crowds of."""
    absent: list[int] | None
    """Names of what is known to be absent; None: all that are not there."""
    segmentations: list[Any] | None
    size: tuple[int, int] | None = None
    image_id: int | None = None


class Detection(Source):
    """A data set with categories. Names that are equal after cleaning are one thing."""

    names: list[str]
    """The different names."""
    fits: Callable[[str], bool] = staticmethod(naming.short)
    """Whether a caption that lists names may be that long."""

    def longer(self, most: int) -> Iterator[tuple[str, str]]:
        for name in self.names:
            if len(name.encode()) > most:
                yield f"{self.config.annotations}: names, {name[:40]}", name

    def shown(self, index: int) -> Shown:
        """What the picture with that number shows."""
        raise NotImplementedError

    def present_and_absent(self, shown: Shown) -> tuple[list[int], list[int]]:
        """Names that a picture shows and names that it does not. What it only shows crowds of is
        neither."""
        present = sorted(set(shown.names))
        known = range(len(self.names)) if shown.absent is None else sorted(set(shown.absent))
        taken = {*present, *shown.crowds}
        return present, [n for n in known if n not in taken]

    def number(self, pictures: int, problems: Problems, seed: int = 0) -> None:
        """Number the captions of training and of validation."""
        self.records = pictures
        usable, fixed = [], []
        for i in range(pictures):
            shown = self.shown(i)
            present, absent = self.present_and_absent(shown)
            if present or absent:
                usable.append(i)
            else:
                problems.add("unused", shown.place)
            rng = random.Random(f"{seed}/{i}")
            some = rng.sample(absent, min(ABSENT_FIXED, len(absent)))
            fixed += [(i, name) for name in [*present, *some]]
        self._usable = torch.tensor(usable, dtype=torch.int32)
        self._fixed = torch.tensor(fixed, dtype=torch.int32).reshape(-1, 2)
        self.fixed = len(fixed)

    def __len__(self) -> int:
        return len(self._usable)

    def drawn(self, index: int, rng: random.Random) -> Entry:
        shown = self.shown(int(self._usable[index]))
        present, absent = self.present_and_absent(shown)
        number = {self.names[n]: n for n in (*present, *absent)}
        chosen = naming.drawn(
            [self.names[n] for n in present], [self.names[n] for n in absent], rng, self.fits
        )
        return self._entry(shown, [number[name] for name in chosen])

    def entry(self, index: int) -> Entry:
        picture, name = self._fixed[index].tolist()
        return self._entry(self.shown(picture), [name])

    def _entry(self, shown: Shown, chosen: list[int]) -> Entry:
        text, spans = naming.caption([self.names[n] for n in chosen])
        place = dict(zip(chosen, spans, strict=True))
        objects = [i for i, n in enumerate(shown.names) if n in place]
        segmentations = shown.segmentations
        there = {shown.names[i] for i in objects}
        return Entry(
            place=shown.place,
            picture=shown.picture,
            caption=text,
            kind="category" if objects else "absent",
            boxes=shown.boxes[objects],
            relative=shown.relative,
            areas=shown.areas[objects],
            spans=[[place[shown.names[i]]] for i in objects],
            phrases=[[place[n]] for n in chosen if n in there],
            segmentations=segmentations and [segmentations[i] for i in objects],
            size=shown.size,
            image_id=shown.image_id,
        )

    def phrases(self, most: int) -> Iterator[str]:
        return iter(self.names)

    def record(self, index: int) -> Entry:
        """A picture with everything that it shows, in one caption, however long that is."""
        shown = self.shown(index)
        return self._entry(shown, sorted(set(shown.names)))


class Absent(Source):
    """Pictures that show nothing of anything: captions are phrases of other data sets."""

    fits: Callable[[str], bool] = staticmethod(naming.short)
    """As of `Detection`."""

    def __init__(self, config: SourceConfig, pictures: Packed):
        self.config = config
        self.pictures = pictures
        self.known: list[str] = []
        self.fixed = 0
        self.records = len(pictures)

    def about(self, phrases: list[str]) -> None:
        """Phrases that the captions are made of."""
        if not phrases:
            raise ValueError(
                f"{self.config.annotations}: expected phrases for pictures that show nothing, "
                "found none; give a data set with captions or categories beside them"
            )
        self.known = phrases
        self.fixed = len(self.pictures) * min(ABSENT_FIXED, len(phrases))

    def __len__(self) -> int:
        return len(self.pictures)

    def drawn(self, index: int, rng: random.Random) -> Entry:
        few = rng.sample(self.known, min(len(self.known), naming.MOST_ABSENT))
        return self._entry(self.pictures[index], naming.drawn([], few, rng, self.fits))

    def entry(self, index: int) -> Entry:
        picture, which = divmod(index, self.fixed // len(self.pictures))
        rng = random.Random(f"{picture}")
        phrase = rng.sample(self.known, self.fixed // len(self.pictures))[which]
        return self._entry(self.pictures[picture], [phrase])

    def _entry(self, picture: str, chosen: list[str]) -> Entry:
        text, _ = naming.caption(chosen)
        return Entry(picture, picture, text, kind="absent", phrases=[])

    def record(self, index: int) -> Entry:
        picture = self.pictures[index]
        return Entry(picture, picture, "", kind="absent", phrases=[])
