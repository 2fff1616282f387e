"""Captions made of the names of categories."""

import random
import re
from collections.abc import Callable, Sequence

MOST_CHARACTERS = 250
"""Of a caption that lists names, as in MDETR's combined pre-training data."""
MOST_ABSENT = 5
"""Names of things that are not there in a caption that lists names."""
ABSENT_ALONE = 1 / 3
"""Share of absent ones among captions of one name."""


def clean(name: str) -> str:
    """A category's name as a caption has it: as MDETR cleans LVIS's, without blanks at the ends."""
    name = re.sub(r"\(.*\)", "", name).replace("_", " ")
    return name.replace("  ", " ").strip()


def numbered(names: Sequence[str]) -> tuple[list[str], list[int]]:
    """The different names, cleaned, and which of them each name is."""
    different: dict[str, int] = {}
    numbers = [different.setdefault(clean(name), len(different)) for name in names]
    return list(different), numbers


def caption(names: Sequence[str]) -> tuple[str, list[list[int]]]:
    """A caption of these names and where each of them is in it: "forklift", "forklift. pallet."."""
    if len(names) == 1:
        return names[0], [[0, len(names[0])]]
    text, spans = "", []
    for name in names:
        text += " " if text else ""
        spans.append([len(text), len(text) + len(name)])
        text += name + "."
    return text, spans


def short(text: str) -> bool:
    """Whether a caption that lists names is no longer than those of the combined data."""
    return len(text) <= MOST_CHARACTERS


def fitting(names: Sequence[str], fits: Callable[[str], bool]) -> list[str]:
    """As many of the names, from the first, as fit into a caption; at least one."""
    chosen = list(names)
    while len(chosen) > 1 and not fits(caption(chosen)[0]):
        chosen.pop()
    return chosen


def drawn(
    present: Sequence[str],
    absent: Sequence[str],
    rng: random.Random,
    fits: Callable[[str], bool] = short,
) -> list[str]:
    """The names of a training caption: half of the captions have one, a third of these one that is
    absent; the others have all that are present and some that are absent, in random order, as far
    as they fit. At least one name must be given."""
    if rng.random() < 0.5:
        alone = absent and (not present or rng.random() < ABSENT_ALONE)
        return [rng.choice(absent if alone else present)]
    most = min(len(absent), MOST_ABSENT)
    some = rng.sample(absent, rng.randint(0 if present else 1, most)) if most else []
    names = [*present, *some]
    rng.shuffle(names)
    return fitting(names, fits)
