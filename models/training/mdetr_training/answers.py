"""Answer heads: the queries that ask and the classes that each head tells apart."""

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
