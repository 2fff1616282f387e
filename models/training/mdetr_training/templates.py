"""Graphs of the released structures without their weights, from which `mdetr import` makes bundles.

A template is the exporter's graph, each weight replaced by a line that says what it is made of. It
stands in the initializer's `doc_string`, words separated by spaces:

    entry NAME           an entry of the checkpoint
    transposed NAME      an entry [a, b] as [b, a]
    third I NAME         the I-th third of an entry's rows, from 0
    transposed-third I NAME
    folded CONV NORM     weights of a convolution with the frozen norm behind it
    shift NORM           what such a convolution adds
    joined NAME NAME     rows of one entry, then of another

Before these stand `half` for fp16, `int8` for a matrix rounded column by column, and `scale` for
the scales of its columns. A size that fine-tuned models may have another of is 0; a constant that
is I above the number of object queries has the line `queries I`.
"""

import gzip
import tempfile
from collections.abc import Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from onnxruntime.transformers.float16 import convert_np_to_float16
from torch import nn
from tqdm import tqdm

from . import structures
from .answers import ANSWER_HEADS
from .config import Config
from .export import INT8_GRAPHS, example_size, graphs, in_precision, manifest, trace
from .fold import convolutions_of_norms, folded
from .segmentation import build

PRECISIONS = ("fp32", "fp16", "int8")
MORE = 7
"""Object queries, and MORE_CLASSES classes of each of GQA's answer heads, that another network of
the same structure has: what differs in its graphs is left open."""
MORE_CLASSES = 3
MOST_CONSTANT = 4096
"""Values of a constant, which stay in the template."""


def write(out: Path, names: Iterable[str], reduced: bool = False) -> None:
    """Write `out`/NAME for each structure; `reduced`: of their small forms."""
    texts = {}
    for name in names:
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in template(name, reduced, texts).items():
            (folder / file).write_bytes(content)


def template(
    name: str, reduced: bool = False, texts: dict[str, dict[str, bytes]] | None = None
) -> dict[str, bytes]:
    """Files of a structure's template by name; of int8 only those graphs that it changes. `texts`
    keeps text encoders, which most structures share."""
    config = structures.config(name, reduced)
    network = build(config.network).eval()
    distinct(network)
    more = larger(config)
    other = build(more.network).eval()
    distinct(other, seed=1)
    texts = {} if texts is None else texts
    encoder = f"{config.network.text} {config.network.masks}"
    files = dict(texts.get(encoder, {}))
    left_out = "text" if files else ""
    with tempfile.TemporaryDirectory() as scratch:
        text = manifest(config, network, "0", Path(scratch), "fp32")
        files["structure.toml"] = text.partition("[files]")[0].encode()
        files["entries.txt"] = entries(network, other).encode()
        path = Path(scratch) / "graph.onnx"
        known = dict(weights(network))
        networks = (config, network), (more, other)
        pairs = zip(*(traced(c, n, path, left_out) for c, n in networks), strict=True)
        for (graph, model), (_, another) in tqdm(pairs, desc=name, unit="graph"):
            different = differences(model, another, config.network.queries)
            named = name_weights(model, known, another)
            for precision in PRECISIONS:
                if precision == "int8" and graph not in INT8_GRAPHS:
                    continue
                copy = onnx.ModelProto()
                copy.CopyFrom(model)
                copy = in_precision(copy, graph, precision)
                empty(copy, named)
                leave_open(copy, different)
                data = copy.SerializeToString(deterministic=True)
                files[f"{graph}.{precision}.onnx.gz"] = gzip.compress(data, 9, mtime=0)
    texts[encoder] = {file: content for file, content in files.items() if file.startswith("text.")}
    return files


def distinct(network: nn.Module, seed: int = 0) -> None:
    """Give each entry values of its own, by which it is recognised: the exporter writes equal ones
    only once."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            value.normal_(generator=generator)
        if name.endswith("running_var"):
            value.abs_().add_(0.1)


def larger(config: Config) -> Config:
    """Of a network of that structure with more queries, and more answers where they are open."""
    config = deepcopy(config)
    c = config.network
    c.queries += MORE
    if c.answers == "gqa":
        sizes = c.answer_classes or ANSWER_HEADS["gqa"].values()
        c.answer_classes = [size + MORE_CLASSES for size in sizes]
    return config


def entries(network: nn.Module, other: nn.Module) -> str:
    """One line for each entry: name and sizes, 0 where both networks differ."""
    lines = []
    for (name, value), variant in zip(
        network.state_dict().items(), other.state_dict().values(), strict=True
    ):
        sizes = open_sizes(value.shape, variant.shape)
        lines.append(" ".join([name, *map(str, sizes)]))
    return "\n".join(lines) + "\n"


def open_sizes(sizes: Iterable[int], others: Iterable[int]) -> list[int]:
    """Sizes, 0 where others differ."""
    return [a if a == b else 0 for a, b in zip(sizes, others, strict=True)]


def traced(
    config: Config, network: nn.Module, path: Path, left_out: str
) -> Iterator[tuple[str, onnx.ModelProto]]:
    """The network's graphs in fp32 by name, but for the one left out."""
    size = example_size(config)
    references = {g.name: g.module for g in graphs(network, *size)}
    for graph in graphs(folded(network), *size):
        if graph.name != left_out:
            yield graph.name, trace(graph, path, references[graph.name])


@torch.no_grad()
def weights(network: nn.Module) -> Iterator[tuple[bytes, str]]:
    """The bytes of what graphs' weights are made of, and the line for each."""
    state = {name: value.numpy() for name, value in network.state_dict().items()}
    for name, value in state.items():
        yield value.tobytes(), f"entry {name}"
        if value.ndim == 2:
            yield value.T.tobytes(), f"transposed {name}"
        if "in_proj" in name:
            for i, third in enumerate(np.split(value, 3)):
                yield third.tobytes(), f"third {i} {name}"
                if third.ndim == 2:
                    yield third.T.tobytes(), f"transposed-third {i} {name}"
    ready = folded(network)
    for conv, norm in convolutions_of_norms(network):
        module = ready.get_submodule(conv)
        yield module.weight.numpy().tobytes(), f"folded {conv} {norm}"
        yield module.bias.numpy().tobytes(), f"shift {norm}"
    prefix = "detr." if network.config.masks else ""
    asking = [f"{prefix}query_embed.weight", f"{prefix}qa_embed.weight"]
    if asking[1] in state:
        joined = np.concatenate([state[name] for name in asking])
        yield joined.tobytes(), f"joined {asking[0]} {asking[1]}"


@dataclass
class Open:
    """What differs in the graph of a network with more queries and classes."""

    sizes: dict[str, list[int]]
    """Of initializers and outputs by name, 0 where another is possible."""
    constants: dict[str, int]
    """How far constants, by output, are above the number of queries."""


def differences(model: onnx.ModelProto, other: onnx.ModelProto, queries: int) -> Open:
    """Of a graph and that of a network with more of everything; `queries`: of the first."""
    found = Open({}, {})
    graph, variant = model.graph, other.graph
    for node, another in zip(graph.node, variant.node, strict=True):
        if node == another:
            continue
        values = [numpy_helper.to_array(n.attribute[0].t) for n in (node, another)]
        same = node.op_type == another.op_type == "Constant" and node.output == another.output
        if not same or values[0].shape != (1,) or values[1] - values[0] != MORE:
            raise RuntimeError(f"{node.name}: expected {MORE} more with as many queries: {values}")
        found.constants[node.output[0]] = int(values[0][0]) - queries
    for tensor, another in zip(graph.initializer, variant.initializer, strict=True):
        if tensor.dims != another.dims:
            found.sizes[tensor.name] = open_sizes(tensor.dims, another.dims)
    for value, another in zip(graph.output, variant.output, strict=True):
        sizes = [[d.dim_value for d in v.type.tensor_type.shape.dim] for v in (value, another)]
        if sizes[0] != sizes[1]:
            found.sizes[value.name] = open_sizes(*sizes)
    return found


def leave_open(model: onnx.ModelProto, different: Open) -> None:
    """Mark what a network with other numbers of queries and classes has otherwise."""
    graph = model.graph
    for node in graph.node:
        offset = different.constants.get(node.output[0])
        if node.op_type == "Constant" and offset is not None:
            node.attribute[0].t.doc_string = f"queries {offset}"
            node.attribute[0].t.ClearField("raw_data")
    for tensor in graph.initializer:
        if tensor.name in different.sizes:
            tensor.dims[:] = different.sizes[tensor.name]
    for value in graph.output:
        sizes = different.sizes.get(value.name, [])
        for dim, size in zip(value.type.tensor_type.shape.dim, sizes, strict=False):
            if size == 0 and not dim.dim_param:
                dim.dim_value = 0


def name_weights(
    model: onnx.ModelProto, known: dict[bytes, str], other: onnx.ModelProto
) -> dict[str, tuple[str, np.ndarray]]:
    """Line and values of each weight of a graph in fp32, by initializer. What is no weight has to
    be the same in the graph of another network."""
    named = {}
    for tensor, another in zip(model.graph.initializer, other.graph.initializer, strict=True):
        value = numpy_helper.to_array(tensor)
        line = known.get(value.tobytes())
        if line is not None:
            named[tensor.name] = line, value
        elif tensor != another:
            raise RuntimeError(f"{tensor.name}: it is not known what it is made of")
    return named


def empty(model: onnx.ModelProto, named: dict[str, tuple[str, np.ndarray]]) -> None:
    """Replace the values of a graph's weights, in any precision, by the lines that say what they
    are made of."""
    made = {}
    for name, (line, value) in named.items():
        made[name] = {value.dtype: (line, value)}
        half = convert_np_to_float16(value)
        made[name][half.dtype] = f"half {line}", half
        if value.ndim == 2:
            rounded, scale = round_columns(value)
            made[f"{name}_quantized"] = {rounded.dtype: (f"int8 {line}", rounded)}
            made[f"{name}_scale"] = {scale.dtype: (f"scale {line}", scale)}
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor)
        line, expected = made.get(tensor.name, {}).get(value.dtype, (None, None))
        if line is not None:
            if value.tobytes() != expected.tobytes():
                raise RuntimeError(f"{tensor.name}: expected {line}, found other values")
            tensor.doc_string = line
            tensor.ClearField("raw_data")
            tensor.ClearField("float_data")
            tensor.ClearField("int32_data")
        elif value.size > MOST_CONSTANT or (value.any() and value.size > 1):
            raise RuntimeError(f"{tensor.name}: expected a weight that is known, or a constant")


def round_columns(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A matrix in 7 bit, and the scale of each column."""
    largest = np.abs(matrix).max(0)
    scale = largest / np.float32(64)
    scale[scale < np.finfo(np.float32).tiny] = 1
    return (matrix / scale).round().astype(np.int8), scale
