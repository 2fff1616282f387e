"""Data sets as YOLO has them: a data.yaml, pictures, and a label file for each."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..config import SourceConfig
from . import names as naming
from .detection import Detection, Shown
from .packed import Packed
from .problems import Problems
from .read import SUFFIXES, pictures_in

MOST_BYTES = 1 << 22
"""Of a data.yaml or a label file."""
MOST_SHARE = 100.0
"""Widths of a picture, or heights, beyond which a number is none of a box."""
SPLITS = ("train", "val", "test")


class Yolo(Detection):
    """A split of a data.yaml."""

    def __init__(self, config: SourceConfig, problems: Problems, with_masks: bool = False):
        self.config = config
        path = Path(config.annotations)
        table = load_table(path)
        names = class_names(table, path)
        self.names, self.numbers = naming.numbered(names)
        for number, name in enumerate(names):
            if not naming.clean(name):
                message = f"expected a word, found {name!r}"
                problems.add("category", f"{path}: names, {number}", message)
        self.with_masks = with_masks
        self.packed = Packed()
        for picture in split_pictures(table, config):
            boxes, classes, polygons = read_labels(picture, len(names), problems, with_masks)
            self.packed.append((str(picture), boxes.tobytes(), classes, polygons))
        self.packed.freeze()
        self.number(len(self.packed), problems)

    def shown(self, index: int) -> Shown:
        picture, packed, classes, polygons = self.packed[index]
        boxes = np.frombuffer(packed, np.float32).reshape(-1, 4)
        full = (boxes[:, 2:] > 0).all(1)
        names = [self.numbers[c] for c in classes]
        return Shown(
            place=picture,
            picture=picture,
            boxes=boxes[full],
            relative=True,
            areas=boxes[full, 2] * boxes[full, 3],
            names=[n for n, f in zip(names, full, strict=True) if f],
            crowds=[n for n, f in zip(names, full, strict=True) if not f],
            absent=None,
            segmentations=[p for p, f in zip(polygons, full, strict=True) if f]
            if self.with_masks
            else None,
        )


def load_table(path: Path) -> dict[str, Any]:
    """A data.yaml. Errors name the file."""
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(
            f"{path}: expected at most {MOST_BYTES} bytes, found {path.stat().st_size}"
        )
    try:
        table = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not YAML: {error}") from error
    if not isinstance(table, dict) or "names" not in table:
        raise ValueError(f"{path}: expected a table with `names` and a split, found no `names`")
    if "kpt_shape" in table:
        raise ValueError(f"{path}: kpt_shape: expected boxes or polygons, found keypoints")
    return table


def class_names(table: dict[str, Any], path: Path) -> list[str]:
    """The names of the classes, from a list or from a table by number."""
    names = table["names"]
    if isinstance(names, dict):
        if sorted(names) != list(range(len(names))):
            raise ValueError(f"{path}: names: expected the numbers 0 to {len(names) - 1}")
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list) or not names:
        raise ValueError(f"{path}: names: expected a list of names, found {names!r}")
    return [str(name) for name in names]


def split_pictures(table: dict[str, Any], config: SourceConfig) -> Iterator[Path]:
    """The pictures of the split: of each folder or list of pictures that it names."""
    path = Path(config.annotations)
    if config.split not in SPLITS:
        raise ValueError(f"split: expected one of {', '.join(SPLITS)}, found {config.split!r}")
    entries = table.get(config.split)
    entries = [entries] if isinstance(entries, str) else entries
    if not isinstance(entries, list) or not all(isinstance(e, str) for e in entries):
        raise ValueError(
            f"{path}: {config.split}: expected a folder, a list of pictures, or several of them, "
            f"found {entries!r}"
        )
    if isinstance(config.pictures, dict):
        raise ValueError(f"{path}: pictures: expected one folder, found a table of them")
    root = Path(config.pictures) if config.pictures else path.parent / str(table.get("path") or "")
    for entry in entries:
        found = [root / entry, path.parent / entry, root / entry.removeprefix("../")]
        place = next((p for p in found if p.exists()), None)
        if place is None:
            raise ValueError(
                f"{path}: {config.split}: expected {entry} in {root}, found nothing; "
                "set `path` in it, or give the folder of the pictures"
            )
        if place.is_dir():
            yield from pictures_in(place)
        elif place.suffix == ".txt":
            yield from listed(place, root)
        elif place.suffix.lower() in SUFFIXES:
            yield place
        else:
            raise ValueError(f"{path}: {config.split}: expected pictures, found {place}")


def listed(path: Path, root: Path) -> Iterator[Path]:
    """The pictures in a list: a path a line, beside the list or below the data set's folder."""
    for line in path.read_text(errors="replace").splitlines():
        if line.strip():
            name = line.strip()
            yield next(
                (p for p in (path.parent / name, root / name) if p.exists()), path.parent / name
            )


def label_path(picture: Path) -> Path:
    """The label file of a picture: in labels/ where the picture is in images/, or beside it."""
    before, folder, after = str(picture).rpartition(f"{os.sep}images{os.sep}")
    parts = f"{before}{os.sep}labels{os.sep}{after}" if folder else str(picture)
    return Path(parts).with_suffix(".txt")


def read_labels(
    picture: Path, classes: int, problems: Problems, with_masks: bool
) -> tuple[np.ndarray, list[int], list[list[float]] | None]:
    """Relative boxes [M, 4] (corner and size), classes and polygons of a picture's objects; none
    without a label file."""
    path = label_path(picture)
    boxes, numbers, polygons = [], [], []
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"{path}: expected at most {MOST_BYTES} bytes")
        lines = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    for i, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{path}: line {i}"
        try:
            number, *values = [float(word) for word in line.split()]
        except ValueError:
            problems.add("entry", place, f"expected numbers, found {line[:80]!r}")
            continue
        if len(values) != 4 and (len(values) < 6 or len(values) % 2):
            message = "expected a class with four numbers, or with at least three points"
            problems.add("entry", place, f"{message}, found {len(values)} numbers")
        elif not np.isfinite(number) or not (np.abs(values) < MOST_SHARE).all():
            message = f"expected numbers that are shares of the picture, found {line[:80]!r}"
            problems.add("not-finite", place, message)
        elif not number.is_integer() or not 0 <= number < classes:
            message = f"expected a class from 0 to {classes - 1}, found {number:g}"
            problems.add("category", place, message)
        elif with_masks and len(values) == 4:
            problems.add("mask", place, "expected a polygon, found a box")
        else:
            box = as_box(values)
            if box[2] <= 0 or box[3] <= 0:
                problems.add("empty", place, line[:80])
            boxes.append(box)
            numbers.append(int(number))
            polygons.append(values if with_masks else None)
    return np.array(boxes, np.float32).reshape(-1, 4), numbers, polygons if with_masks else None


def as_box(values: list[float]) -> tuple[float, float, float, float]:
    """Corner and size of a box that is given by centre and size, or by a polygon."""
    if len(values) == 4:
        x, y, width, height = values
        return x - width / 2, y - height / 2, width, height
    x, y = values[0::2], values[1::2]
    return min(x), min(y), max(x) - min(x), max(y) - min(y)
