"""Data sets as the field has them: read, augmented, put into batches and checked."""

from ..config import SourceConfig
from .loader import Loader, PictureCaption
from .open import open_source
from .transforms import CLEVR, GROUNDING, Sizes, for_network

__all__ = [
    "CLEVR",
    "GROUNDING",
    "Loader",
    "PictureCaption",
    "Sizes",
    "SourceConfig",
    "for_network",
    "open_source",
]
