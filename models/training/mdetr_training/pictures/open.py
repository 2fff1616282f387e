"""Data sets by what they are: annotation files, YOLO's data.yaml, folders of pictures."""

from collections.abc import Sequence
from pathlib import Path

from ..config import SourceConfig
from . import coco
from .detection import Absent
from .packed import Packed
from .problems import Problems
from .read import pictures_in
from .source import Answering, Source
from .yolo import Yolo

MOST_PHRASES = 20_000
"""Entries of a data set whose phrases are asked of pictures that show nothing."""


def open_source(
    config: SourceConfig,
    problems: Problems | None = None,
    answering: Answering | None = None,
    with_masks: bool = False,
) -> Source:
    """Read a data set's annotations, not its pictures.

    Raises ValueError or OSError with the file and the place where training would fail, unless
    `problems` collects them.
    """
    problems, answering = problems or Problems(), answering or Answering()
    path = Path(config.annotations)
    if config.repeat < 1:
        raise ValueError(f"{path}: repeat: expected at least 1, found {config.repeat}")
    if path.is_dir():
        source: Source = Absent(config, folder(path))
    elif not path.exists():
        raise ValueError(f"{path}: expected an annotation file, a data.yaml or a folder")
    elif path.suffix.lower() in (".yaml", ".yml"):
        source = Yolo(config, problems, with_masks)
    else:
        if config.answers:
            answering = answering.with_table(config.answers)
        source = coco.read(config, problems, answering, with_masks)
    if not source.records or (not len(source) and not isinstance(source, Absent)):
        problems.add("nothing", str(path), "expected pictures with captions, found none")
    return source


def folder(path: Path) -> Packed:
    """The pictures of a folder that has nothing else."""
    for pattern in ("*.yaml", "*.yml", "*.json"):
        if found := next(iter(sorted(path.glob(pattern))), None):
            raise ValueError(
                f"{path}: expected a folder of pictures that show nothing, found {found.name} in "
                f"it; give {found} if that describes them"
            )
    packed = Packed()
    for picture in pictures_in(path):
        packed.append(str(picture))
    return packed.freeze()


def share_phrases(sources: Sequence[Source], more: Sequence[str] = ()) -> None:
    """Give pictures that show nothing the phrases of the other data sets, and these."""
    empty = [source for source in sources if isinstance(source, Absent)]
    if not empty:
        return
    phrases = dict.fromkeys(more)
    for source in sources:
        phrases |= dict.fromkeys(source.phrases(MOST_PHRASES))
    for source in empty:
        source.about(list(phrases))
