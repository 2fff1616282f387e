"""Writes small files as torch.save leaves them, and what they hold, into tests/data.

    python src/checkpoint/tests/files.py

Needs PyTorch and safetensors: the environment of models/training.
"""

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

HERE = Path(__file__).parent / "data"


class Net(nn.Module):
    """Every kind of entry that a released model has, in small."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 2)
        self.bn = nn.BatchNorm2d(3)
        self.linear = nn.Linear(3, 4)
        self.register_buffer("position_ids", torch.arange(6).expand((1, -1)))

    def forward(self, x):
        return self.linear(self.bn(self.conv(x)).mean((2, 3)))


def training():
    """What a training run saves."""
    net = Net()
    groups = [{"params": net.conv.parameters(), "lr": 1e-5}, {"params": net.linear.parameters()}]
    optimizer = torch.optim.AdamW(groups, lr=1e-4)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 5])
    net(torch.randn(2, 2, 4, 4)).sum().backward()
    optimizer.step()
    scheduler.step()
    ema = {name: value.clone() * 2 for name, value in net.state_dict().items()}
    arguments = argparse.Namespace(
        backbone="resnet18",
        num_queries=25,
        lr=1e-4,
        ema=True,
        resume=None,
        output_dir=Path("/checkpoint/run"),
        combine_datasets=["flickr", "mixed"],
    )
    return {
        "model": net.state_dict(),
        "model_ema": ema,
        "optimizer": optimizer.state_dict(),
        "lr_scheduler": scheduler.state_dict(),
        "epoch": 3,
        "args": arguments,
    }


def types():
    """Values of all types, and views that share their storage."""
    shared = torch.arange(24, dtype=torch.float32)
    return {
        "double": torch.tensor([0.1, -2.5], dtype=torch.float64),
        "half": torch.tensor([0.1, -2.5], dtype=torch.float16),
        "bfloat16": torch.tensor([0.1, -2.5], dtype=torch.bfloat16),
        "long": torch.tensor([[2**40, -1]]),
        "int": torch.tensor([-7], dtype=torch.int32),
        "short": torch.tensor([-7], dtype=torch.int16),
        "char": torch.tensor([-7], dtype=torch.int8),
        "byte": torch.tensor([200], dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
        "scalar": torch.tensor(1.5),
        "empty": torch.zeros(0, 3),
        "parameter": nn.Parameter(torch.tensor([1.0, 2.0])),
        "rows": shared.view(4, 6)[1:3],
        "transposed": shared.view(4, 6).t(),
        "every-other": shared[1::2],
        "corner": shared.view(2, 3, 4)[:, 1:, ::2].permute(2, 0, 1),
    }


def told(tensors):
    """Shapes and values as JSON has them."""
    return {
        name: {"shape": list(value.shape), "values": value.detach().float().flatten().tolist()}
        for name, value in tensors.items()
    }


def main():
    torch.manual_seed(7)
    HERE.mkdir(exist_ok=True)
    saved = training()
    views = types()
    for name, new in (("new", True), ("old", False)):
        torch.save(saved, HERE / f"training-{name}.pth", _use_new_zipfile_serialization=new)
        torch.save(views, HERE / f"types-{name}.pth", _use_new_zipfile_serialization=new)
    torch.save(views, HERE / "types-protocol-4.pth", pickle_protocol=4)
    plain = {name: value.detach().clone().contiguous() for name, value in views.items()}
    save_file(plain, HERE / "types.safetensors")
    expected = {
        "model": told(saved["model"]),
        "model_ema": told(saved["model_ema"]),
        "types": told(views),
    }
    (HERE / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    main()
