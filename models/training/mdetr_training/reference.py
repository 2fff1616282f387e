"""Reference outputs for the Rust library's parity test: PyTorch on pictures and captions."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer

from .config import Config
from .data import target_size
from .network import MDETR


def preprocess(path: Path, config: Config) -> torch.Tensor:
    """A picture file to the network's input [1, 3, H, W]."""
    with Image.open(path) as image:
        image = image.convert("RGB")
        size = target_size(*image.size, config.input)
        pixels = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    mean = torch.tensor(config.input.mean)[:, None, None]
    std = torch.tensor(config.input.std)[:, None, None]
    return (tensor - mean) / std


@torch.no_grad()
def run(
    network: MDETR, tokenizer: Tokenizer, image: torch.Tensor, caption: str
) -> tuple[np.ndarray, np.ndarray]:
    """Logits [Q, C] and boxes [Q, 4] for one picture and one caption."""
    ids = torch.tensor([tokenizer.encode(caption).ids])
    mask = torch.ones_like(ids)
    position = network.position(*image.shape[2:])
    logits, boxes = network.fusion(network.vision(image), position, network.text(ids, mask), mask)
    return logits[0].numpy(), boxes[0].numpy()


def outputs(
    config: Config, network: MDETR, tokenizer: Tokenizer, folder: Path
) -> dict[str, np.ndarray]:
    """`logits.I` and `boxes.I` of each case I in `folder`/cases.json, a list of {"image",
    "caption"}."""
    cases = json.loads((folder / "cases.json").read_text())
    tensors = {}
    for i, case in enumerate(cases):
        image = preprocess(folder / case["image"], config)
        logits, boxes = run(network, tokenizer, image, case["caption"])
        tensors[f"logits.{i}"], tensors[f"boxes.{i}"] = logits.copy(), boxes.copy()
    return tensors
