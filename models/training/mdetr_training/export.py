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
from tqdm import tqdm

from .config import CASES, Config, NetworkConfig
from .fold import folded, same_padding
from .half import to_half
from .int8 import to_int8
from .network import MDETR, as_tuple
from .remembered import INTERVAL
from .segmentation import DETRsegm

OPSET = 17
EXAMPLE_SIDE = 256
"""Most pixels of the short side of the image that graphs are traced with."""
TOLERANCES = {"fp32": 1e-4, "fp16": 5e-2, "int8": 0.25}
"""Largest differences from PyTorch that are accepted by precision, as shares of the largest value:
of int8 only to see that it is the same network, as differences on random inputs say little."""


INT8_GRAPHS = ("text", "fusion")
"""Those with transformer layers."""


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

    def __init__(self, network: MDETR | DETRsegm, method: str):
        super().__init__()
        self.network = network
        self.method = method

    def forward(self, *inputs: Tensor) -> Tensor | tuple[Tensor, ...]:
        return getattr(self.network, self.method)(*inputs)


def pyramid_axes(network: MDETR | DETRsegm) -> dict[str, dict[int, str]]:
    """Outputs of the vision graph for masks, and their free axes."""
    return {name: {2: f"H{s}", 3: f"W{s}"} for name, s in network.pyramid.items()}


def example_size(config: Config) -> tuple[int, int]:
    """Height and width of the image that graphs are traced with."""
    height = min(config.input.short_side, EXAMPLE_SIDE)
    return height, min(height * 4 // 3, config.input.max_long_side)


def graphs(network: MDETR | DETRsegm, height: int, width: int) -> list[Graph]:
    """The bundle's graphs with example inputs."""
    masks = [mask_graph(network, height, width)] if network.config.masks else []
    return grounding_graphs(network, height, width) + masks


def grounding_graphs(network: MDETR | DETRsegm, height: int, width: int) -> list[Graph]:
    """Text, vision and fusion."""
    generator = torch.Generator().manual_seed(0)
    d = network.config.d_model
    position = network.position(height, width)
    n = position.shape[1]
    ids = torch.randint(5, network.config.text.vocab_size, (1, 9), generator=generator)
    ids[0, 0], ids[0, -1] = 0, 2
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[1, 6:] = 0
    levels = pyramid_axes(network)
    outputs = network.fusion_outputs
    past = past_inputs(network.config, generator)
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
            ["tokens", *levels],
            {
                "image": {0: "B", 2: "H", 3: "W"},
                "tokens": {0: "B", 1: "N"},
                **{name: {0: "B", **axes} for name, axes in levels.items()},
            },
        ),
        Graph(
            "fusion",
            Method(network, "fusion"),
            {
                "tokens": torch.randn(1, n, d, generator=generator),
                "position": position,
                "text_memory": torch.randn(2, 9, d, generator=generator),
                "text_mask": mask,
                **past,
            },
            outputs,
            {
                "tokens": {0: "F", 1: "N"},
                "position": {1: "N"},
                "text_memory": {0: "B", 1: "L"},
                "text_mask": {0: "B", 1: "L"},
                **{name: {0: "B"} for name in past},
                **{name: {0: "B", 1: "N"} if name == "memory" else {0: "B"} for name in outputs},
            },
        ),
    ]


def past_inputs(c: NetworkConfig, generator: torch.Generator) -> dict[str, Tensor]:
    """What the fusion graph takes of the past, for two captions, of which one remembers nothing;
    nothing if the network remembers none."""
    if not c.past:
        return {}
    age = torch.rand(2, c.past, generator=generator)
    age[1] = 0.0
    boxes = torch.rand(2, c.past, c.queries, 4, generator=generator)
    return {
        "past": torch.randn(2, c.past, c.queries, c.d_model, generator=generator),
        "past_boxes": boxes,
        "past_age": age,
    }


@torch.no_grad()
def mask_graph(network: DETRsegm, height: int, width: int) -> Graph:
    """The mask head on three kept queries."""
    generator = torch.Generator().manual_seed(0)
    c = network.config
    inputs = {
        "hidden": torch.randn(1, 3, c.d_model, generator=generator),
        "memory": torch.randn(network.position(height, width).shape, generator=generator),
    }
    image = torch.randn(1, 3, height, width, generator=generator)
    inputs |= zip(["tokens", *network.pyramid], network.vision(image), strict=True)
    axes = {"hidden": {1: "K"}, "memory": {1: "N"}, "tokens": {1: "N"}, **pyramid_axes(network)}
    axes["masks"] = {1: "K", 2: "H4", 3: "W4"}
    return Graph("mask", Method(network, "mask"), inputs, ["masks"], axes)


@torch.no_grad()
def trace(graph: Graph, path: Path, reference: nn.Module) -> onnx.ModelProto:
    """Write one graph in fp32 and read it; `reference`: the same module, not folded."""
    graph.module.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.module,
            tuple(graph.inputs.values()),
            str(path),
            dynamo=False,
            opset_version=OPSET,
            input_names=list(graph.inputs),
            output_names=graph.outputs,
            dynamic_axes=graph.axes,
        )
    model = onnx.load(path)
    if graph.name == "vision":
        same_padding(model, reference)
    return model


def in_precision(model: onnx.ModelProto, graph: str, precision: str) -> onnx.ModelProto:
    """The graph of that name in a precision; the one given may change."""
    if precision == "fp16":
        return to_half(model)
    if precision == "int8" and graph in INT8_GRAPHS:
        return to_int8(model)
    return model


@torch.no_grad()
def export_graph(
    graph: Graph, folder: Path, reference: nn.Module, precision: str
) -> dict[str, float]:
    """Write one graph and compare it under ONNX Runtime with a module in PyTorch: largest
    difference of each output."""
    path = folder / f"{graph.name}.onnx"
    model = in_precision(trace(graph, path, reference), graph.name, precision)
    onnx.save(model, path)
    onnx.checker.check_model(model, full_check=True)
    expected = as_tuple(reference.eval()(*graph.inputs.values()))
    found = run_graph(path, graph.inputs)
    return {
        name: difference(f, e) for name, f, e in zip(graph.outputs, found, expected, strict=True)
    }


def run_graph(path: Path, inputs: dict[str, Tensor]) -> list[np.ndarray]:
    """All outputs of a graph under ONNX Runtime."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {k: v.numpy() for k, v in inputs.items()})


def difference(found: np.ndarray, expected: Tensor) -> float:
    """The largest difference, as a share of the largest expected value if that is above one; not
    a number if a value is not finite."""
    scale = max(1.0, float(expected.abs().max()))
    return float(np.abs(found - expected.numpy()).max()) / scale


def manifest(
    config: Config,
    network: MDETR | DETRsegm,
    version: str,
    folder: Path,
    precision: str,
) -> str:
    """model.toml for the files that are in the folder."""
    n, i, b = config.network, config.input, config.bundle
    tasks = ["grounding"] + ["segmentation"] * n.masks + ["questions"] * bool(n.answers)
    max_tokens = min(n.slots - 1, n.text.max_positions - 2)
    sides = [f"short_side = {i.short_side}", f"max_long_side = {i.max_long_side}"]
    lines = [
        "schema = 1",
        f"name = {json.dumps(config.name)}",
        f"version = {json.dumps(version)}",
        'licence = "Apache-2.0"',
        f"tasks = {json.dumps(tasks)}",
        f"precision = {json.dumps(precision)}",
        f"captions = {json.dumps(b.captions)}",
        *([f"case = {json.dumps(b.case)}"] if b.case != "preserved" else []),
        "",
        "[input]",
        f"resize = {json.dumps(i.resize)}",
        *(sides if i.resize == "short-side" else []),
        f"mean = {i.mean}",
        f"std = {i.std}",
        "",
        "[network]",
        f"d_model = {n.d_model}",
        f"queries = {n.queries}",
        f"slots = {n.slots}",
        f"stride = {network.stride}",
        f"max_tokens = {max_tokens}",
        *([f"past = {n.past}", f"past_interval = {INTERVAL}"] if n.past else []),
        *([f"lost = {n.lost}"] if n.lost else []),
        "",
        "[thresholds]",
        f"score = {b.score_threshold}",
        f"phrase = {b.phrase_threshold}",
        f"overlap = {b.overlap_threshold}",
        *([f"tight = {b.tight}"] if n.masks and b.tight else []),
        "",
        *answers_table(n),
        "[files]",
    ]
    for path in sorted(folder.iterdir()):
        if path.suffix in (".onnx", ".json"):
            data = path.read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            lines.append(f'"{path.name}" = {{ bytes = {len(data)}, sha256 = "{digest}" }}')
    return "\n".join(lines) + "\n"


def answers_table(n: NetworkConfig) -> list[str]:
    """Lines of the manifest on answers, if there are any."""
    if not n.answers:
        return []
    attributes = json.dumps(n.answer_attributes, ensure_ascii=False)
    words = [f"attributes = {attributes}"] if n.answer_attributes else []
    return ["[answers]", f"kind = {json.dumps(n.answers)}", *words, ""]


def export(
    config: Config,
    network: MDETR | DETRsegm,
    tokenizer: Path,
    out: Path,
    version: str,
    precision: str = "fp32",
    words: dict[str, list[str]] | None = None,
) -> dict[str, dict[str, float]]:
    """Write the bundle into `out`, which may exist; only the bundle's own files are replaced.

    `words`: answers by head and class, if known. Returns the differences per graph and output;
    raises if one exceeds the tolerance, with the target untouched.
    """
    vocabulary = Tokenizer.from_file(str(tokenizer)).get_vocab_size()
    if vocabulary > config.network.text.vocab_size:
        raise ValueError(
            f"{tokenizer}: {vocabulary} tokens, but the text encoder has embeddings for "
            f"{config.network.text.vocab_size}; use the tokenizer that it was trained with"
        )
    if config.bundle.case not in CASES:
        raise ValueError(f"bundle.case: expected one of {CASES}, found {config.bundle.case!r}")
    if config.network.final:
        raise ValueError(
            "network.final: expected false, found true; bundles have no output for which objects "
            "a caption is about. Evaluate such a network in PyTorch"
        )
    network.eval()
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    shutil.copyfile(tokenizer, partial / "tokenizer.json")
    if words:
        (partial / "answers.json").write_text(json.dumps(words, ensure_ascii=False) + "\n")
    height, width = example_size(config)
    references = {g.name: g.module for g in graphs(network, height, width)}
    differences = {}
    for g in tqdm(graphs(folded(network), height, width), desc="exporting", unit="graph"):
        differences[g.name] = export_graph(g, partial, references[g.name], precision)
    for name, outputs in differences.items():
        for output, found in outputs.items():
            if not found <= TOLERANCES[precision]:
                raise RuntimeError(
                    f"{partial / name}.onnx: {output} differs from PyTorch by {found:.2e}, "
                    f"expected at most {TOLERANCES[precision]:.0e}"
                )
    text = manifest(config, network, version, partial, precision)
    (partial / "model.toml").write_text(text)
    out.mkdir(exist_ok=True)
    for path in partial.iterdir():
        path.replace(out / path.name)
    partial.rmdir()
    return differences
