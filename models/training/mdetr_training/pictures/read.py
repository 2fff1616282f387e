"""Picture files."""

from collections.abc import Iterator
from pathlib import Path

from PIL import Image

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
MOST_PIXELS = 1 << 27
MOST_OBLONG = 50
"""Longest side by shortest side. Beyond, resized pictures grow out of memory or to nothing."""


class PictureError(ValueError):
    """A picture that cannot be used, with its file; `kind` is one of `problems.KINDS`."""

    def __init__(self, kind: str, message: str):
        super().__init__(message)
        self.kind = kind


def picture_size(path: str) -> tuple[int, int]:
    """Width and height that a picture's header says."""
    return _opened(path, whole=False).size


def read_picture(path: str) -> Image.Image:
    """A picture's pixels as RGB, as they are stored: EXIF's orientation is not applied.

    Raises PictureError with the file.
    """
    return _opened(path, whole=True)


def _opened(path: str, whole: bool) -> Image.Image:
    try:
        with Image.open(path) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                raise PictureError(
                    "unreadable",
                    f"{path}: expected at most {MOST_PIXELS} pixels, found {width} x {height}",
                )
            if max(width, height) > MOST_OBLONG * min(width, height):
                raise PictureError(
                    "shape",
                    f"{path}: expected sides that differ by a factor of at most {MOST_OBLONG}, "
                    f"found {width} x {height}; cut it or leave it out",
                )
            return image.convert("RGB") if whole else image
    except PictureError:
        raise
    except FileNotFoundError:
        raise PictureError("missing", f"{path}: expected a picture, found no file") from None
    except Exception as error:  # decoders raise whatever they like
        kind = "truncated" if "truncated" in str(error).lower() else "unreadable"
        found = str(error).replace(f" '{path}'", "") or type(error).__name__
        raise PictureError(kind, f"{path}: expected a picture, found: {found}") from error


def pictures_in(folder: Path) -> Iterator[Path]:
    """Every picture below a folder, in the order of the names."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            yield path
