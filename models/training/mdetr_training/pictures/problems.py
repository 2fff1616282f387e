"""What can be wrong with a data set."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Kind:
    """One kind of problem."""

    title: str
    fatal: bool
    """Training stops at it; of the others it makes the best."""


KINDS = {
    "entry": Kind("entries that are not as the format has them", True),
    "duplicate-id": Kind("pictures with an id that another one has", True),
    "not-finite": Kind("boxes that are not finite", True),
    "category": Kind("objects of unknown categories, or categories without a name", True),
    "missing": Kind("missing pictures", True),
    "truncated": Kind("truncated pictures", True),
    "unreadable": Kind("pictures that cannot be read", True),
    "shape": Kind("pictures too long for their height, or too high for their width", True),
    "long": Kind("captions with too many tokens", True),
    "answer": Kind("answers that the network cannot give", True),
    "mask": Kind("objects without a mask, or with a broken one", True),
    "nothing": Kind("sources without a single caption", True),
    "outside": Kind("boxes that reach outside the picture (they are cut off)", False),
    "empty": Kind("empty boxes (they are left out)", False),
    "span-outside": Kind("spans outside the caption", False),
    "span-cuts": Kind("spans that cut a word", False),
    "empty-mask": Kind("masks of fewer than three points (nothing of the object shows)", False),
    "no-words": Kind("objects without words", False),
    "no-caption": Kind("captions without words", False),
    "size": Kind("pictures of another size than the annotations say", False),
    "duplicate-annotation": Kind("annotations with an id that another one has", False),
    "orphan": Kind("annotations of pictures that are not there", False),
    "unknown-answer": Kind('answers that are not in the table (they train as "unknown")', False),
    "unused": Kind("pictures of which nothing can be asked (they are left out)", False),
    "leak": Kind("pictures of the validation that are trained on", False),
}


class FatalError(ValueError):
    """A problem at which training stops, with its place."""


class Problems:
    """Problems met while a data set is read for training: a fatal one is raised as FatalError, the
    others are what training makes the best of."""

    def add(self, kind: str, place: str, message: str = "") -> None:
        """Report a problem at a place: a file, and where in it."""
        if KINDS[kind].fatal:
            raise FatalError(f"{place}: {message or KINDS[kind].title}")


@dataclass
class Found(Problems):
    """Problems that are counted, with the first few places of each kind."""

    places_kept: int = 3
    counts: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, kind: str, place: str, message: str = "") -> None:
        self.counts[kind] += 1
        if len(self.places[kind]) < self.places_kept:
            self.places[kind].append(f"{place}: {message}" if message else place)

    @property
    def fatal(self) -> bool:
        return any(KINDS[kind].fatal for kind in self.counts)

    def lines(self) -> list[str]:
        """A report: fatal kinds first."""
        found = []
        for name, kind in KINDS.items():
            if not self.counts[name]:
                continue
            mark = "error" if kind.fatal else "odd"
            found.append(f"{mark}: {self.counts[name]} {kind.title}")
            found += [f"    {place}" for place in self.places[name]]
            if self.counts[name] > len(self.places[name]):
                found.append("    ...")
        return found
