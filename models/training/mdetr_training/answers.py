"""Answer heads: the queries that ask and the classes that each head tells apart."""

import json
from pathlib import Path

ANSWER_HEADS = {
    "gqa": {"type": 5, "obj": 3, "rel": 1594, "attr": 403, "cat": 678, "global": 111},
    "clevr": {"type": 3, "binary": 1, "reg": 20, "attr": 15},
}
"""Classes of each head, in the order of the answer queries."""


def classes(kind: str, sizes: list[int]) -> dict[str, int]:
    """Classes of each head of that kind, none for an empty kind; `sizes`, if any, replace the
    published ones."""
    if not kind:
        return {}
    if kind not in ANSWER_HEADS:
        known = ", ".join(ANSWER_HEADS)
        raise ValueError(f"answers {kind!r} are not known; known: {known}")
    heads = ANSWER_HEADS[kind]
    if not sizes:
        return heads
    if len(sizes) != len(heads):
        raise ValueError(
            f"answer_classes: expected {len(heads)} sizes for {list(heads)}, found {sizes}"
        )
    return dict(zip(heads, sizes, strict=True))


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
