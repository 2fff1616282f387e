import os
from collections.abc import Sequence
from typing import final

import numpy
from numpy.typing import NDArray

from .results import Grounding

__all__ = [
    "Grounder",
    "Past",
    "__version__",
    "add_onnxruntime_library",
    "decode_mask",
    "models",
    "read_carried",
]

__version__: str

_Path = str | os.PathLike[str]
_Entry = tuple[str, str, float | None, float | None]

@final
class Grounder:
    def __new__(
        cls,
        program: _Path,
        model: _Path | None,
        *,
        engine: str,
        score_threshold: float | None,
        phrase_threshold: float | None,
        overlap_threshold: float | None,
        max_detections: int,
        short_side: int | None,
        masks: bool,
        pack_queries: str,
        text_cache_dir: _Path | None,
        device_id: int,
        precision: str,
        plan_cache_dir: _Path | None,
        endpoints: Sequence[str],
        token_file: _Path | None,
        ca_file: _Path | None,
        remote_deadline: float,
        fallback: str,
    ) -> Grounder: ...
    def set_queries(self, entries: Sequence[_Entry]) -> int: ...
    def queries(self) -> tuple[list[_Entry], int]: ...
    def ground(
        self, frame: NDArray[numpy.uint8], past: Past | None = None, at: float = 0.0
    ) -> Grounding: ...
    def prepare(self, width: int, height: int) -> None: ...
    def engine(self) -> tuple[str, str, str]: ...
    def remembers(self) -> bool: ...
    def model(self) -> tuple[str, str, str, list[str]]: ...

@final
class Past:
    def __new__(cls) -> Past: ...
    def forget(self) -> None: ...

def add_onnxruntime_library(library: _Path) -> None: ...
def decode_mask(counts: str, height: int, width: int) -> NDArray[numpy.bool_]: ...
def models(program: _Path) -> list[tuple[str, str]]: ...
def read_carried(json: bytes, size: tuple[int, int] | None = None) -> Grounding: ...
