"""Answer heads: the queries that ask and the classes that each head tells apart."""

import json
from collections.abc import Sequence
from pathlib import Path

ANSWER_HEADS = {
    "gqa": {"type": 5, "obj": 3, "rel": 1594, "attr": 403, "cat": 678, "global": 111},
    "clevr": {"type": 3, "binary": 1, "reg": 20, "attr": 15},
}
"""Classes of each head, in the order of the answer queries."""
CLEVR_TYPES = ["binary", "attr", "reg"]
"""The head that each class of CLEVR's type head stands for."""
CLEVR_ATTRIBUTES = (
    "small large gray red blue green brown purple cyan yellow cube sphere cylinder rubber metal"
).split()
"""Words of the classes of CLEVR's attribute head."""


def classes(kind: str, sizes: list[int], attributes: Sequence[str] = ()) -> dict[str, int]:
    """Classes of each head of that kind, none for an empty kind; `sizes`, if any, replace the
    published ones, and so does, for CLEVR's attribute head, the number of `attributes`."""
    if attributes and kind != "clevr":
        raise ValueError(f'answer_attributes: expected answers = "clevr", found {kind!r}')
    if len(set(attributes)) != len(attributes):
        raise ValueError(f"answer_attributes: expected different words, found {attributes}")
    if not kind:
        return {}
    if kind not in ANSWER_HEADS:
        known = ", ".join(ANSWER_HEADS)
        raise ValueError(f"answers {kind!r} are not known; known: {known}")
    heads = dict(ANSWER_HEADS[kind])
    if attributes:
        heads["attr"] = len(attributes)
    if not sizes:
        return heads
    if len(sizes) != len(heads):
        raise ValueError(
            f"answer_classes: expected {len(heads)} sizes for {list(heads)}, found {sizes}"
        )
    found = dict(zip(heads, sizes, strict=True))
    if attributes and found != heads:
        raise ValueError(
            f"answer_classes: expected {list(heads.values())}, which belong to "
            f"{len(attributes)} answer_attributes, found {sizes}; leave answer_classes out"
        )
    return found


def targets(answer: str, attributes: Sequence[str], counts: int) -> dict[str, int]:
    """Class by head of an answer to a question of CLEVR's families, for the type head and the
    head that it points to: "yes" and "no", a count below `counts`, or one of `attributes`."""
    if answer in ("yes", "no"):
        head, value = "binary", int(answer == "yes")
    elif answer.isdecimal() and int(answer) < counts:
        head, value = "reg", int(answer)
    elif answer in attributes:
        head, value = "attr", list(attributes).index(answer)
    else:
        raise ValueError(
            f'answer: expected "yes", "no", a number below {counts} or one of '
            f"{', '.join(attributes)}, found {answer!r}; add it to network.answer_attributes"
        )
    return {"type": CLEVR_TYPES.index(head), head: value}


def attribute_groups(
    attributes: Sequence[str], known: dict[str, list[str]]
) -> list[list[int]] | None:
    """The classes of each attribute's values among the answers `attributes`; `known` has the values
    by attribute. None if one has no class."""
    groups = [[attributes.index(v) for v in values if v in attributes] for values in known.values()]
    complete = all(len(g) == len(v) for g, v in zip(groups, known.values(), strict=True))
    return groups if complete else None


def words(path: Path, heads: dict[str, int]) -> dict[str, list[str]]:
    """GQA's answers by head and class, from gqa_answer2id_by_type.json: class by answer by head.

    `heads` are the classes of each head but "type". Errors name the head.
    """
    try:
        table = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: expected JSON, found: {error}") from error
    found = {}
    for name, classes in heads.items():
        if name == "type":
            continue
        key = f"answer_{name}"
        ids = table.get(key) if isinstance(table, dict) else None
        if not isinstance(ids, dict):
            raise ValueError(f"{path}: {key}: expected a table of answers, found {type(ids)}")
        if sorted(map(str, ids.values())) != sorted(map(str, range(classes))):
            raise ValueError(
                f"{path}: {key}: expected the classes 0 to {classes - 1} once each, "
                f"found {len(ids)} answers; use the file that belongs to the weights"
            )
        found[key] = sorted(ids, key=lambda answer: int(ids[answer]))
    return found
