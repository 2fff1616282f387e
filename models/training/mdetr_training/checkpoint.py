"""Checkpoints in the format of the released ones: written, read without running anything, and
matched with their structure."""

import argparse
import os
import pathlib
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from . import structures
from .config import Config, StageConfig
from .official_args import arguments

SAFE_GLOBALS = [argparse.Namespace, (pathlib.PurePosixPath, "pathlib.PosixPath")]
"""What a training script's arguments, kept beside the weights, are made of."""
IGNORED = (".position_ids", ".num_batches_tracked")
"""Endings of entries that hold no weights."""
LISTED = 6
"""Entries named in an error before the rest is counted."""


class CheckpointError(ValueError):
    """A file that is not a checkpoint of a known structure."""


def read(path: pathlib.Path, weights: str | None = None) -> dict[str, Tensor]:
    """Entries of `model_ema` (`weights` "ema"), of `model` ("model"), or of the first of them that
    the file has (None), by shape and type not yet known to be a structure's.

    Raises `CheckpointError`; nothing that the file contains is executed.
    """
    return entries(path, load(path), weights)


def entries(path: pathlib.Path, content: object, weights: str | None = None) -> dict[str, Tensor]:
    """The same of what the file contains."""
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path}: expected a checkpoint with `model`, found {type(content).__name__}"
        )
    sources = {"ema": "model_ema", "model": "model"}
    wanted = [sources[weights]] if weights else list(sources.values())
    found = [key for key in wanted if content.get(key) is not None]
    if not found:
        raise CheckpointError(
            f"{path}: expected {' or '.join(wanted)}, found {listed(map(str, content))}"
        )
    state = content[found[0]]
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{path}: {found[0]}: expected weights, found {type(state).__name__}")
    state = {name: value for name, value in state.items() if not str(name).endswith(IGNORED)}
    for name, value in state.items():
        dense = isinstance(value, Tensor) and value.layout == torch.strided
        if not dense or not value.is_floating_point():
            kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise CheckpointError(f"{path}: {found[0]}.{name}: expected weights, found {kind}")
    return state


def values(path: pathlib.Path, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Entries of a known structure in fp32; values that are not finite are refused."""
    for name, value in state.items():
        if not value.isfinite().all():
            raise CheckpointError(f"{path}: {name}: not every value is finite")
    return {name: value.float() for name, value in state.items()}


def load(path: pathlib.Path) -> object:
    """The content of a file written by torch.save, without executing code from it."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    archive = zipfile.is_zipfile(path)
    if archive:
        verify(path)
    try:
        with torch.serialization.safe_globals(SAFE_GLOBALS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except Exception as error:
        foreign = re.search(r"GLOBAL (\S+)", str(error))
        if foreign:
            raise CheckpointError(
                f"{path}: refers to {foreign[1]}, which a checkpoint has no use for and which "
                "might run code; nothing of it was run. Take the file from its publisher again"
            ) from None
        size = path.stat().st_size
        reason = str(error).rpartition("WeightsUnpickler error:")[2].strip()
        first = reason.splitlines()[0][:200] if reason else type(error).__name__
        raise CheckpointError(
            f"{path}: expected a checkpoint written by torch.save, found {size} bytes that are not "
            f"one, or a part of one ({first}). Compare its length with the publisher's"
        ) from None


RUN = "mdetr_training"
"""Entry with what a run needs beside the official ones to go on."""


def save(
    path: pathlib.Path,
    model: Mapping[str, Tensor],
    model_ema: Mapping[str, Tensor],
    optimizer: Mapping | None,
    epoch: int,
    config: Config,
    stage: StageConfig,
    place: Mapping,
) -> None:
    """Write a checkpoint as the official code does, with `place` for the run to go on; without an
    optimiser's state if there is none. The old file stays until the new one is whole on the
    disk."""
    content = {"model": dict(model), "model_ema": dict(model_ema)}
    if optimizer is not None:
        content["optimizer"] = optimizer
    content |= {"epoch": epoch, "args": arguments(config, stage), RUN: dict(place)}
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, RuntimeError) as error:
        partial.unlink(missing_ok=True)
        kept = "the one before is kept" if path.exists() else "there is none before it"
        raise OSError(f"{path}: the checkpoint cannot be written ({error}); {kept}") from error


def of_run(path: pathlib.Path) -> tuple[dict, dict]:
    """A checkpoint of one of our runs, and what the run needs to go on."""
    content = load(path)
    place = content.get(RUN) if isinstance(content, Mapping) else None
    if place is None:
        raise CheckpointError(
            f"{path}: expected a checkpoint of a run of this trainer, found none of its entries; "
            "a released one is for --init and for export-official"
        )
    return content, place


def verify(path: pathlib.Path) -> None:
    """Compare every record of the archive with its checksum."""
    try:
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            packed = [r.filename for r in records if r.compress_type != zipfile.ZIP_STORED]
            if packed:
                raise CheckpointError(
                    f"{path}: expected a checkpoint written by torch.save, which compresses "
                    f"nothing, found compressed {listed(packed)}"
                )
            total = sum(record.file_size for record in records)
            with tqdm(total=total, unit="B", unit_scale=True, desc="verifying") as progress:
                for record in records:
                    with archive.open(record) as stream:
                        while block := stream.read(1 << 20):
                            progress.update(len(block))
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(f"{path}: the file is damaged ({error}). Download it again") from None


@dataclass
class Misfit:
    """What keeps entries from being those of a structure."""

    structure: str
    missing: list[str]
    unexpected: list[str]
    wrong: list[str]
    """Entries of another shape: name, expected and found."""

    def __len__(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.wrong)


def compare(state: Mapping[str, Tensor], name: str, reduced: bool) -> Misfit:
    """The entries against those of one structure."""
    expected = structures.shapes(name, reduced)
    return Misfit(
        name,
        missing=[k for k in expected if k not in state],
        unexpected=[k for k in state if k not in expected],
        wrong=[
            f"{k} (expected {shape}, found {tuple(state[k].shape)})"
            for k, shape in expected.items()
            if k in state and tuple(state[k].shape) != shape
        ],
    )


def recognise(path: pathlib.Path, state: Mapping[str, Tensor], reduced: bool = False) -> str:
    """The structure whose entries these are, all of them and no others; `reduced`: among the small
    forms."""
    misfits = [compare(state, name, reduced) for name in structures.NETWORKS]
    best = min(misfits, key=len)
    if len(best) == 0:
        return best.structure
    raise CheckpointError(
        f"{path}: not one of {', '.join(structures.NETWORKS)}. Nearest: {best.structure}, with\n"
        f"  missing: {listed(best.missing)}\n"
        f"  unexpected: {listed(best.unexpected)}\n"
        f"  of another shape: {listed(best.wrong)}"
    )


def listed(names: Iterable[str]) -> str:
    """The first few names and how many more there are."""
    names = [name[:200] for name in names]
    if not names:
        return "none"
    rest = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {rest} more" if rest > 0 else "")
