"""What is measured with: bundles, frames, sentences."""

import hashlib
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from .machine import ROOT

SIZE = (640, 480)
"""Width and height of the frames."""
FRAMES = 8
SEED = 700001
QUERIES = (
    "the small red cube left of the blue ball",
    "a shiny green cylinder",
    "all cones",
    "the large sphere behind the yellow block",
    "two small metal balls",
    "a purple cube in front of a cone",
    "the matte cylinder",
    "all large brown things",
    "a cyan ball right of the gray box",
    "tiny rubber cubes",
    "the big red cone and a small sphere",
    "a gray metallic cylinder",
    "all small blue objects",
    "the yellow ball left of the large cone",
    "a green block",
    "the shiny things behind the red cube",
)
TABLETOP = ROOT / "models/tabletop"
WEIGHTS = ROOT / "models/training/weights/tabletop.safetensors"
TOKENIZER = TABLETOP / "tokenizer.json"
"""Of all bundles: RoBERTa's is not in the repository. In both, a common word is one token."""


@dataclass(frozen=True)
class Subject:
    """A bundle under measurement."""

    name: str
    title: str
    folder: Path
    int8: Path
    """The same with weights of 8 bit, for those that take it."""
    structure: str | None
    """Name of the released structure, with random weights; None: the bundled model."""
    short_side: int | None
    """Of the network's input, if not the bundle's own."""

    def network_input(self) -> str:
        """Width and height of what the network sees of a frame."""
        width, height = input_size(self.folder, self.short_side)
        return f"{width} x {height}"


def subjects(out: Path) -> list[Subject]:
    """The bundles, small to large; those with random weights lie in `out`."""
    full = [("resnet101", "ResNet-101"), ("efficientnetB3", "EfficientNet-B3")]
    folder = out / "bundles"
    return [
        Subject("tabletop", "tabletop (bundled)", TABLETOP, folder / "tabletop-int8", None, None),
        *(Subject(n, t, folder / n, folder / f"{n}-int8", n, min(SIZE)) for n, t in full),
    ]


def manifest(folder: Path) -> dict:
    """A bundle's manifest."""
    return tomllib.loads((folder / "model.toml").read_text())


def input_size(folder: Path, short_side: int | None) -> tuple[int, int]:
    """Width and height of the network's input for a frame, as the library chooses them: the
    short side scaled to the policy's, the long one in proportion, rounded down."""
    policy = manifest(folder)["input"]
    short = short_side or policy.get("short_side")
    if short is None or short == min(SIZE):
        return SIZE
    width, height = SIZE
    return (short * width // height, short) if width >= height else (short, short * height // width)


def make(subject: Subject, int8: bool) -> Path:
    """Export the bundle, or the one with weights of 8 bit, if it is not there; gives its folder.
    The bundled model's own weights may have changed, so its is made anew."""
    folder = subject.int8 if int8 else subject.folder
    if (folder / "model.toml").exists() and (subject.structure or not int8):
        return folder
    command = [sys.executable, "-m", "mdetr_training"]
    if subject.structure:
        command += ["export-official", "--random-weights", subject.structure]
    else:
        command += ["export", "--checkpoint", str(WEIGHTS)]
    command += ["--tokenizer", str(TOKENIZER), "--precision", "int8" if int8 else "fp32"]
    print(f"bench: {folder}: exporting {subject.title}", flush=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([*command, "--out", str(folder)], check=True, stdout=subprocess.DEVNULL)
    return folder


def write_inputs(program: Path, out: Path) -> tuple[Path, Path]:
    """The frames, as packed RGB and the first as PNG, and the sentences, as files in `out`."""
    from PIL import Image

    out.mkdir(parents=True, exist_ok=True)
    width, height = SIZE
    frames = out / "frames.rgb"
    command = [program, "frames", "--count", FRAMES, "--size", f"{width}x{height}"]
    command += ["--seed", SEED, "--out", frames]
    subprocess.run(list(map(str, command)), check=True)
    first = frames.read_bytes()[: width * height * 3]
    Image.frombytes("RGB", SIZE, first).save(out / "frame.png")
    queries = out / "queries.txt"
    queries.write_text("\n".join(QUERIES) + "\n")
    return frames, queries


def digest(*files: Path) -> str:
    """A fingerprint of files' contents."""
    found = hashlib.sha256()
    for file in files:
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()[:16]
