"""Reference outputs for the Rust library's parity tests: PyTorch on pictures and captions."""

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer

from . import official, structures
from .config import Config, InputConfig
from .data import target_size
from .network import MDETR
from .random_weights import place_scores
from .segmentation import DETRsegm


def preprocess(path: Path, config: Config) -> torch.Tensor:
    """A picture file to the network's input [1, 3, H, W]."""
    with Image.open(path) as image:
        image = image.convert("RGB")
        size = target_size(*image.size, config.input)
        pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    return normalise(torch.from_numpy(pixels.copy()), config.input)


def normalise(pixels: torch.Tensor, c: InputConfig) -> torch.Tensor:
    """RGB pixels u8 [H, W, 3] -> [1, 3, H, W]."""
    tensor = pixels.permute(2, 0, 1)[None].float() / 255
    return (tensor - torch.tensor(c.mean)[:, None, None]) / torch.tensor(c.std)[:, None, None]


def run(
    network: MDETR | DETRsegm, tokenizer: Tokenizer, image: torch.Tensor, caption: str
) -> tuple[np.ndarray, np.ndarray]:
    """Logits [Q, C] and boxes [Q, 4] for one picture and one caption."""
    found = official.run(network, image, torch.tensor([tokenizer.encode(caption).ids]))
    return found["logits"][0].numpy(), found["boxes"][0].numpy()


def outputs(
    config: Config, network: MDETR | DETRsegm, tokenizer: Tokenizer, folder: Path
) -> dict[str, np.ndarray]:
    """`logits.I` and `boxes.I` of each case I in `folder`/cases.json, a list of {"image",
    "caption"}."""
    cases = json.loads((folder / "cases.json").read_text())
    tensors = {}
    for i, case in enumerate(cases):
        image = preprocess(folder / case["image"], config)
        caption = config.bundle.normalised(case["caption"])
        logits, boxes = run(network, tokenizer, image, caption)
        tensors[f"logits.{i}"], tensors[f"boxes.{i}"] = logits.copy(), boxes.copy()
    return tensors


OFFICIAL_CASES = [
    {"height": 64, "width": 96, "caption": "cup"},
    {"height": 75, "width": 107, "caption": "a small red cube left of the blue ball"},
]
"""Captions of 5 and 40 tokens."""
FULL_CASES = [
    OFFICIAL_CASES[0] | {"height": 256, "width": 352},
    OFFICIAL_CASES[1] | {"height": 427, "width": 640},
]


INT8 = "_int8"
"""What the name of a bundle of int8 ends in."""
LENGTH_STEP = 8
"""What the Rust library pads texts to a multiple of. In int8 padding has a part in the scale of
activations."""


def write_official(out: Path, full: bool = False) -> list[str]:
    """For each released structure a bundle with random weights in its small form, `out`/NAME,
    which takes images as they are, and `out`/NAME.safetensors with, for each case I of
    `out`/cases.json: `pixels.I` u8 [H, W, 3] and by name what the network says, masks of every
    query among it. One more is of int8: what its graphs say under ONNX Runtime. `full`: at its own
    size, without int8, and with the checkpoint `out`/NAME.pth. Returns the names."""
    out.mkdir(parents=True, exist_ok=True)
    cases = FULL_CASES if full else OFFICIAL_CASES
    names = list(structures.NETWORKS)
    if not full:
        names.append(names[0] + INT8)
    (out / "cases.json").write_text(json.dumps(cases, indent=2) + "\n")
    for name in names:
        precision = "int8" if name.endswith(INT8) else "fp32"
        structure = name.removesuffix(INT8)
        source = official.from_random(structure, reduced=not full)
        source.config.input.resize = "none"
        image, ids = inputs(source, cases, 0)[1:]
        place_scores(source.network, image, ids)
        with tempfile.TemporaryDirectory() as folder:
            words = numbered_answers(source, Path(folder))
            for _ in official.write(source, out / name, "0.1.0", precision, words):
                pass
        if full:
            torch.save({"model": source.network.state_dict()}, out / f"{name}.pth")
        tensors = {}
        for i in range(len(cases)):
            pixels, image, ids = inputs(source, cases, i)
            if precision == "int8":
                found = official.run_bundle(out / name, source.network, image, ids, LENGTH_STEP)
            else:
                found = official.run(source.network, image, ids)
            found["pixels"] = pixels
            tensors |= {f"{key}.{i}": value.contiguous() for key, value in found.items()}
        save_file(tensors, out / f"{name}.safetensors")
        (out / f"{name}.safetensors").chmod(0o644)
    return names


def inputs(
    source: official.Source, cases: list[dict], i: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pixels, image and token ids of a case."""
    case = cases[i]
    pixels = noise(case["height"], case["width"], seed=i)
    ids = torch.tensor([source.tokenizer.encode(case["caption"]).ids])
    return pixels, normalise(pixels, source.config.input), ids


def numbered_answers(source: official.Source, folder: Path) -> Path | None:
    """For GQA a file of answers in the published form, numbered within each head."""
    if source.config.network.answers != "gqa":
        return None
    heads = official.answer_heads(source.config)
    path = folder / "answers.json"
    table = {f"answer_{h}": {f"{h} {i}": i for i in range(n)} for h, n in heads.items()}
    path.write_text(json.dumps(table))
    return path


def noise(height: int, width: int, seed: int) -> torch.Tensor:
    """A picture of coloured noise, coarse and fine: u8 [H, W, 3]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 5, 7, generator=generator)
    fine = torch.rand(1, 3, height, width, generator=generator)
    large = torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")
    return ((0.75 * large + 0.25 * fine)[0].permute(1, 2, 0) * 255).round().to(torch.uint8)
