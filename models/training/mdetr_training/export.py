"""A trained network to a bundle: ONNX graphs, tokenizer and manifest, checked by ONNX Runtime."""

import hashlib
import json
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from .config import Config
from .network import MDETR

OPSET = 17


@dataclass
class Graph:
    """One graph of the bundle: what to trace, on what, and which axes stay free."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: list[str]
    axes: dict[str, dict[int, str]]


class Method(nn.Module):
    """A module whose forward is one method of the network, so that it can be traced alone."""

    def __init__(self, network: MDETR, method: str):
        super().__init__()
        self.network = network
        self.method = method

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        return getattr(self.network, self.method)(*inputs)


def graphs(network: MDETR, height: int, width: int) -> list[Graph]:
    """The bundle's graphs with example inputs."""
    generator = torch.Generator().manual_seed(0)
    d = network.config.d_model
    position = network.position(height, width)
    n = position.shape[1]
    ids = torch.randint(5, network.config.text.vocab_size, (1, 9), generator=generator)
    ids[0, 0], ids[0, -1] = 0, 2
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[1, 6:] = 0
    return [
        Graph(
            "text",
            Method(network, "text"),
            {"input_ids": ids, "attention_mask": torch.ones_like(ids)},
            ["text_memory"],
            {"input_ids": {1: "L"}, "attention_mask": {1: "L"}, "text_memory": {1: "L"}},
        ),
        Graph(
            "vision",
            Method(network, "vision"),
            {"image": torch.randn(1, 3, height, width, generator=generator)},
            ["tokens"],
            {"image": {0: "B", 2: "H", 3: "W"}, "tokens": {0: "B", 1: "N"}},
        ),
        Graph(
            "fusion",
            Method(network, "fusion"),
            {
                "tokens": torch.randn(1, n, d, generator=generator),
                "position": position,
                "text_memory": torch.randn(2, 9, d, generator=generator),
                "text_mask": mask,
            },
            ["logits", "boxes"],
            {
                "tokens": {0: "F", 1: "N"},
                "position": {1: "N"},
                "text_memory": {0: "B", 1: "L"},
                "text_mask": {0: "B", 1: "L"},
                "logits": {0: "B"},
                "boxes": {0: "B"},
            },
        ),
    ]


@torch.no_grad()
def export_graph(graph: Graph, folder: Path) -> dict[str, float]:
    """Write one graph and compare it under ONNX Runtime with PyTorch: largest difference of each
    output."""
    path = folder / f"{graph.name}.onnx"
    graph.module.eval()
    inputs = tuple(graph.inputs.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.module,
            inputs,
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(graph.inputs),
            output_names=graph.outputs,
            dynamic_axes=graph.axes,
        )
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    expected = graph.module(*inputs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(graph.outputs, {k: v.numpy() for k, v in graph.inputs.items()})
    return {
        name: float(np.abs(f - e.numpy()).max())
        for name, f, e in zip(graph.outputs, found, expected, strict=True)
    }


def manifest(config: Config, network: MDETR, max_tokens: int, version: str, folder: Path) -> str:
    """model.toml for the files that are in the folder."""
    n, i = config.network, config.input
    lines = [
        "schema = 1",
        f"name = {json.dumps(config.name)}",
        f"version = {json.dumps(version)}",
        'licence = "Apache-2.0"',
        'tasks = ["grounding"]',
        'precision = "fp32"',
        "",
        "[input]",
        'resize = "short-side"',
        f"short_side = {i.short_side}",
        f"max_long_side = {i.max_long_side}",
        f"mean = {i.mean}",
        f"std = {i.std}",
        "",
        "[network]",
        f"d_model = {n.d_model}",
        f"queries = {n.queries}",
        f"slots = {n.slots}",
        f"stride = {network.stride}",
        f"max_tokens = {max_tokens}",
        "",
        "[thresholds]",
        "score = 0.7",
        "phrase = 0.1",
        "",
        "[files]",
    ]
    for path in sorted(folder.iterdir()):
        if path.suffix in (".onnx", ".json"):
            data = path.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            lines.append(f'"{path.name}" = {{ bytes = {len(data)}, sha256 = "{digest}" }}')
    return "\n".join(lines) + "\n"


def export(
    config: Config, network: MDETR, tokenizer: Path, out: Path, version: str, tolerance: float
) -> dict[str, dict[str, float]]:
    """Write the bundle into `out`, which may exist; only the bundle's own files are replaced.

    Returns the differences per graph and output; raises if one exceeds the tolerance, with the
    target untouched.
    """
    vocabulary = Tokenizer.from_file(str(tokenizer)).get_vocab_size()
    if vocabulary > config.network.text.vocab_size:
        raise ValueError(
            f"{tokenizer}: {vocabulary} tokens, but the text encoder has embeddings for "
            f"{config.network.text.vocab_size}; use the tokenizer that it was trained with"
        )
    network.eval()
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    shutil.copyfile(tokenizer, partial / "tokenizer.json")
    height = config.input.short_side
    width = min(height * 4 // 3, config.input.max_long_side)
    differences = {g.name: export_graph(g, partial) for g in graphs(network, height, width)}
    for name, outputs in differences.items():
        for output, difference in outputs.items():
            if not difference <= tolerance:
                raise RuntimeError(
                    f"{partial / name}.onnx: {output} differs from PyTorch by {difference:.2e}, "
                    f"expected at most {tolerance:.0e}"
                )
    max_tokens = min(config.network.slots - 1, config.network.text.max_positions - 2)
    (partial / "model.toml").write_text(manifest(config, network, max_tokens, version, partial))
    out.mkdir(exist_ok=True)
    for path in partial.iterdir():
        path.replace(out / path.name)
    partial.rmdir()
    return differences
