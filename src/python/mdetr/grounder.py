"""Frames and sentences in, boxes and words out."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from . import _native

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

    from .results import Grounding

# The bundled model lies beside it, or in the repository that it is part of.
_HERE = Path(__file__)


@dataclass(frozen=True, slots=True)
class Query:
    """One sentence to look for."""

    text: str
    """Only words in [brackets] are reported, if there are any; a bracket of the text is doubled."""
    id: str | None = None
    """By default q1, q2, ... by its place."""
    score_threshold: float | None = None
    """Detections need a score above it, 0 to 1. By default as the grounder says."""
    phrase_threshold: float | None = None
    """Tokens need a probability above it, 0 to 1. By default as the grounder says."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What runs a model."""

    name: str
    version: str
    reason: str
    """Why it was taken."""


@dataclass(frozen=True, slots=True)
class Model:
    """What a model says about itself."""

    name: str
    version: str
    licence: str
    tasks: tuple[str, ...]
    """grounding; segmentation if it draws masks, questions if it answers them."""


def models() -> dict[str, Path]:
    """The models that have names, with their directories: the user's, the system's, the bundled."""
    return {name: Path(folder) for name, folder in _native.models(_HERE)}


class Grounder:
    """A loaded model with its standing queries.

    Threads may share one: any number may ground frames at once, while another changes the queries.
    Python runs on meanwhile.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        engine: str = "auto",
        score_threshold: float | None = None,
        phrase_threshold: float | None = None,
        overlap_threshold: float | None = None,
        max_detections: int = 100,
        short_side: int | None = None,
        masks: bool = True,
        pack_queries: Literal["none", "simple", "all"] = "none",
        text_cache_dir: str | os.PathLike[str] | None = None,
        device_id: int = 0,
        precision: Literal["auto", "fp32", "fp16"] = "auto",
        plan_cache_dir: str | os.PathLike[str] | None = None,
        endpoints: Sequence[str] = (),
        token_file: str | os.PathLike[str] | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        remote_deadline: float = 2.0,
        fallback: Literal["auto", "onnxruntime", "tract", "none"] = "auto",
    ) -> None:
        """Loads a model, given by name or directory; by default `MDETR_MODEL`, or the bundled one.

        Args:
            model: a name that `models()` lists, or the directory of a bundle.
            engine: what runs the model: "auto" takes the fastest that is available here,
                "tensorrt", "onnxruntime", "tract", or "kserve" for servers; or for each graph, as
                "vision:tract,fusion:kserve", of text, vision, fusion and mask.
            score_threshold: detections need a score above it, 0 to 1; by default the model's.
            phrase_threshold: tokens need a probability above it, 0 to 1; by default the model's.
            overlap_threshold: a box that overlaps a better one of its query by more than this, as
                intersection over union, is dropped if it answers to no other words; 1 keeps all;
                by default the model's.
            max_detections: most detections for one query.
            short_side: frames are scaled to this short side in pixels for the network; by default
                the model's. A smaller one is faster and sees less.
            masks: draw masks, if the model can.
            pack_queries: which queries share a caption, which is faster and less accurate.
            text_cache_dir: where encoded texts are kept between runs; by default in memory only.
            device_id: number of the GPU, for TensorRT.
            precision: how TensorRT computes where it has a choice.
            plan_cache_dir: where TensorRT's plans are kept; by default ~/.cache/mdetr/plans.
            endpoints: servers with the model, for "kserve", as "grpc://HOST:PORT" or, with TLS,
                "grpcs://HOST:PORT". They take turns, and one answers for another.
            token_file: file with the token that they ask for; by default what is in
                MDETR_KSERVE_TOKEN.
            ca_file: certificates, in PEM, of the authorities that they are known by; by default
                those of the system.
            remote_deadline: seconds that a graph may take on them, all attempts together.
            fallback: what answers when none of them does.

        Raises:
            BundleError: there is no such model, or its files are not sound.
            EngineError: the engine is not available, or does not take the model.
            OptionError: an option has a value that it cannot have.
            CacheError: a cache directory cannot be used.
        """
        _offer_onnxruntime()
        self._native = _native.Grounder(
            _HERE,
            model,
            engine=engine,
            score_threshold=score_threshold,
            phrase_threshold=phrase_threshold,
            overlap_threshold=overlap_threshold,
            max_detections=max_detections,
            short_side=short_side,
            masks=masks,
            pack_queries=pack_queries,
            text_cache_dir=text_cache_dir,
            device_id=device_id,
            precision=precision,
            plan_cache_dir=plan_cache_dir,
            endpoints=list(endpoints),
            token_file=token_file,
            ca_file=ca_file,
            remote_deadline=remote_deadline,
            fallback=fallback,
        )

    def set_queries(
        self, queries: str | Query | Iterable[str | Query] | Mapping[str, str | Query]
    ) -> int:
        """Replaces the standing queries, and gives their revision.

        Takes a sentence, several, or sentences by their ids. Texts are encoded first; meanwhile
        frames are answered with the old queries, which stay if there is an error.

        Raises:
            QueryError: a query has a fault, or two have the same id.
            EngineError: the engine fails.
        """
        return self._native.set_queries(list(_entries(queries)))

    @property
    def queries(self) -> tuple[Query, ...]:
        """The standing queries."""
        entries, _ = self._native.queries()
        return tuple(Query(text, query_id, *thresholds) for query_id, text, *thresholds in entries)

    @property
    def revision(self) -> int:
        """The revision of the standing queries; 0 before there are any."""
        return self._native.queries()[1]

    def ground(
        self,
        frame: NDArray[numpy.uint8],
        *,
        past: _native.Past | None = None,
        at: float = 0.0,
    ) -> Grounding:
        """Answers the standing queries for one frame, on the calling thread.

        Args:
            frame: RGB pixels with the shape (height, width, 3). Nothing is copied if the pixels of
                a row follow each other, as RGB or, in a reversed view of it, as BGR; rows may be
                apart. Nobody may write to it until this returns.
            past: what is remembered of the stream that the frame is one of, by a model that
                `remembers`; it remembers this frame too. By default the frame stands alone.
            at: when the frame was taken, in seconds of its stream.

        Raises:
            FrameError: it is no such array, or takes too much memory.
            OptionError: `at` is negative or no number.
            EngineError: the engine fails.
        """
        return self._native.ground(frame, past, at)

    @property
    def remembers(self) -> bool:
        """Whether the model knows what sentences say about time, if it is given a `Past`."""
        return self._native.remembers()

    def prepare(self, width: int, height: int) -> None:
        """Makes ready for frames of this size, so that the first takes no longer than others.

        Raises:
            FrameError: frames cannot have this size, or take too much memory.
            EngineError: the engine fails.
        """
        self._native.prepare(width, height)

    @property
    def engine(self) -> Engine:
        """What runs the model."""
        return Engine(*self._native.engine())

    @property
    def model(self) -> Model:
        """What the model says about itself."""
        name, version, licence, tasks = self._native.model()
        return Model(name, version, licence, tuple(tasks))

    def __repr__(self) -> str:
        model, engine = self.model, self.engine
        return f"<mdetr.Grounder {model.name} {model.version} on {engine.name} {engine.version}>"


_Entry = tuple[str, str, float | None, float | None]


def _entries(
    queries: str | Query | Iterable[str | Query] | Mapping[str, str | Query],
) -> Iterable[_Entry]:
    if isinstance(queries, str | Query):
        queries = [queries]
    if isinstance(queries, Mapping):
        for query_id, query in queries.items():
            given = _query(query)
            if given.id not in (None, query_id):
                raise ValueError(f"query {query_id!r}: expected no other id, found {given.id!r}")
            yield query_id, given.text, given.score_threshold, given.phrase_threshold
    else:
        for number, query in enumerate(queries, start=1):
            given = _query(query)
            query_id = f"q{number}" if given.id is None else given.id
            yield query_id, given.text, given.score_threshold, given.phrase_threshold


def _query(query: str | Query) -> Query:
    if isinstance(query, str):
        return Query(query)
    if isinstance(query, Query):
        return query
    raise TypeError(f"query: expected a str or a mdetr.Query, found {type(query).__name__}")


def _offer_onnxruntime() -> None:
    """Lets the library of the package onnxruntime serve, if that is installed."""
    try:
        package = importlib.util.find_spec("onnxruntime")
    except ValueError:  # something else has that name
        return
    folders = package.submodule_search_locations if package else None
    for folder in folders or ():
        for library in sorted(Path(folder, "capi").glob("libonnxruntime.so*")):
            _native.add_onnxruntime_library(library)
