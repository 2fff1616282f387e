"""Checkpoints as training runs leave them, and the command that reads them."""

import argparse
import json
import os
import pathlib
import subprocess
from pathlib import Path

import torch
from torch import Tensor

from mdetr_training import official

ROOT = Path(__file__).parents[3]
MDETR = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "mdetr"


def perturbed(source: official.Source) -> official.Source:
    """With weights that differ from each other everywhere: the exporter writes equal ones once."""
    generator = torch.Generator().manual_seed(1)
    for value in source.network.state_dict().values():
        noise = torch.empty_like(value).uniform_(0.0, 1e-3, generator=generator)
        value.add_(noise)
    return source


def training(state: dict[str, Tensor]) -> dict:
    """What a training run leaves in a checkpoint; the averaged weights are the ones given."""
    last = {name: value + 1 for name, value in state.items()}
    parameters = [torch.nn.Parameter(torch.randn(3, 2)), torch.nn.Parameter(torch.randn(4))]
    groups = [{"params": [p], "lr": 1e-4} for p in parameters]
    optimizer = torch.optim.AdamW(groups)
    for p in parameters:
        p.grad = torch.ones_like(p)
    optimizer.step()
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 10)
    args = argparse.Namespace(lr=1e-4, output_dir=pathlib.PosixPath("out"), masks=False)
    extra = {"position_ids": torch.arange(514)[None]}
    text = "transformer.text_encoder.embeddings."
    prefix = "detr." if any(name.startswith("detr.") for name in state) else ""
    last |= {prefix + text + name: value for name, value in extra.items()}
    last[f"{prefix}backbone.0.body.bn1.num_batches_tracked"] = torch.tensor(7)
    return {
        "model": last,
        "model_ema": state | {prefix + text + name: v for name, v in extra.items()},
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": scheduler.state_dict(),
        "epoch": 3,
        "args": args,
    }


def run(name: str, *arguments: object, **more: object) -> subprocess.CompletedProcess:
    """The command `mdetr` with a subcommand."""
    command = [MDETR, name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def official_answers(source: official.Source, folder: Path) -> Path:
    path = folder / "gqa_answer2id_by_type.json"
    heads = official.answer_heads(source.config)
    table = {f"answer_{h}": {f"{h} {i}": i for i in range(n)} for h, n in heads.items()}
    path.write_text(json.dumps(table))
    return path
