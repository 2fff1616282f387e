"""Finds in pictures and video what sentences describe.

    grounder = mdetr.Grounder()
    grounder.set_queries({"ball": "[a red ball] left of a cube", "cones": "all cones"})
    for result in grounder.ground(frame).queries:
        print(result.id, result.present, result.detections)

A frame is a NumPy array of RGB pixels. `mdetr.gst` reads what GStreamer's elements found.
"""

from ._native import Past, __version__
from .errors import (
    BundleError,
    CacheError,
    EngineError,
    FrameError,
    MdetrError,
    OptionError,
    QueryError,
)
from .grounder import Engine, Grounder, Model, Query, models
from .results import Answer, Box, Detection, Grounding, Mask, Phrase, QueryResult, Span

__all__ = [
    "Answer",
    "Box",
    "BundleError",
    "CacheError",
    "Detection",
    "Engine",
    "EngineError",
    "FrameError",
    "Grounder",
    "Grounding",
    "Mask",
    "MdetrError",
    "Model",
    "OptionError",
    "Past",
    "Phrase",
    "Query",
    "QueryError",
    "QueryResult",
    "Span",
    "__version__",
    "models",
]
