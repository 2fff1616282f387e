"""What was found. Fields have the names that they have in JSON (schema mdetr/1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _native

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray


class Box(NamedTuple):
    """A box in pixels of the frame, inside it; (x, y) is its top left corner."""

    x: float
    y: float
    width: float
    height: float


class Span(NamedTuple):
    """A half-open range of characters of a query's text: `text[start:end]`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words of a query that a detection answers to."""

    text: str
    span: Span
    score: float


@dataclass(frozen=True, slots=True)
class Mask:
    """The pixels of an object, as pycocotools has them too: `dataclasses.asdict(mask)`."""

    size: tuple[int, int]
    """Height and width in pixels."""
    counts: str
    """COCO's compressed run lengths."""

    def to_numpy(self) -> NDArray[numpy.bool_]:
        """An array of bool with the shape (height, width).

        Raises ValueError if the run lengths do not fill it.
        """
        height, width = self.size
        return _native.decode_mask(self.counts, height, width)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("mask: its pixels are made when they are asked for: copy is not False")
        array = self.to_numpy()
        return array if dtype is None else array.astype(dtype)


@dataclass(frozen=True, slots=True)
class Detection:
    """One object found."""

    box: Box
    score: float
    """1 - p(no object)."""
    phrases: tuple[Phrase, ...]
    """The words it answers to, in the order of the text."""
    track: int | None = None
    """Identity over time, if a tracker gave one."""
    mask: Mask | None = None
    """Its pixels, if the model draws masks."""
    hidden_ms: float | None = None
    """If it is hidden now, milliseconds since it was seen: the box is where it was last."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question."""

    text: str
    score: float


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What was found for one query."""

    id: str
    text: str
    """The sentence without brackets."""
    detections: tuple[Detection, ...]
    """Objects, highest score first."""
    answer: Answer | None = None
    """The answer, if the query is a question and the model answers questions."""

    @property
    def present(self) -> bool:
        """Whether anything was found."""
        return bool(self.detections)


@dataclass(frozen=True, slots=True)
class Grounding:
    """What was found in one frame."""

    size: tuple[int, int]
    """Width and height of the frame in pixels."""
    revision: int
    """Which set of queries was answered: it rises with each change."""
    queries: tuple[QueryResult, ...]
    """One result for each query, in their order, whether or not anything was found."""
    element: str | None = None
    """The element of GStreamer that found it."""
    age_ms: float | None = None
    """Milliseconds from the frame that was looked at to the one that carries the result."""

    def __getitem__(self, query_id: str) -> QueryResult:
        """The result of the query with this id; raises KeyError if there is none."""
        for result in self.queries:
            if result.id == query_id:
                return result
        raise KeyError(query_id)

    def to_dict(self) -> dict[str, Any]:
        """What `json.dumps` takes, with the names and the structure of mdetr/1, nothing rounded.

        Fields whose value is not known are left out, and so is what a frame's source says of it.
        """
        known = {"age_ms": self.age_ms, "element": self.element}
        return {
            **{name: value for name, value in known.items() if value is not None},
            "size": list(self.size),
            "revision": self.revision,
            "queries": [_query(result) for result in self.queries],
        }


def _query(result: QueryResult) -> dict[str, Any]:
    query: dict[str, Any] = {"id": result.id, "text": result.text}
    if result.answer is None or result.present:
        query["present"] = result.present
        query["detections"] = [_detection(found) for found in result.detections]
    if result.answer is not None:
        query["answer"] = {"text": result.answer.text, "score": result.answer.score}
    return query


def _detection(found: Detection) -> dict[str, Any]:
    detection: dict[str, Any] = {"box": list(found.box), "score": found.score}
    if found.track is not None:
        detection["track"] = found.track
    detection["phrases"] = [
        {"text": phrase.text, "span": list(phrase.span), "score": phrase.score}
        for phrase in found.phrases
    ]
    if found.mask is not None:
        detection["mask"] = {"size": list(found.mask.size), "counts": found.mask.counts}
    return detection
