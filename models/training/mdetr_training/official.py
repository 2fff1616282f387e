"""A released checkpoint, or random weights of its structure, to a bundle that checked itself."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from . import answers, checkpoint, structures
from . import tokenizer as tokenizers
from .config import Config
from .export import difference, export, run_graph
from .network import as_tuple
from .random_weights import random_network
from .segmentation import build

CHECK_SIZE = (203, 317)
CHECK_CAPTION = "a person without a helmet left of the red car"


@dataclass
class Source:
    """A network, its configuration and its tokenizer."""

    config: Config
    network: nn.Module
    tokenizer: Tokenizer


def from_checkpoint(
    path: Path, tokenizer: Path, weights: str | None = None, reduced: bool = False
) -> Source:
    """The network of a released file; `tokenizer` as for `tokenizer.roberta`."""
    state = checkpoint.read(path, weights)
    config = structures.config(checkpoint.recognise(path, state, reduced), reduced)
    state = checkpoint.values(path, state)
    found = tokenizers.roberta(tokenizer)
    expected = config.network.text.vocab_size
    if found.get_vocab_size() != expected:
        raise ValueError(
            f"{tokenizer}: expected the {expected} tokens that {path} was trained with, "
            f"found {found.get_vocab_size()}; use roberta-base's"
        )
    network = build(config.network)
    network.load_state_dict(state, strict=True, assign=True)
    return Source(config, network.eval(), found)


def from_random(name: str, tokenizer: Path | None = None, reduced: bool = False) -> Source:
    """Random weights of a structure; without a tokenizer, one token for each byte."""
    config = structures.config(name, reduced)
    tokens = config.network.text.vocab_size
    found = tokenizers.roberta(tokenizer) if tokenizer else tokenizers.byte_level(tokens)
    return Source(config, random_network(config.network), found)


def write(
    source: Source, out: Path, version: str, precision: str = "fp32", words: Path | None = None
) -> Iterator[tuple[str, float]]:
    """Write the bundle; gives each output's difference from PyTorch, of single graphs first, then
    of all of them in a row on an image and a caption."""
    heads = source.network.config.answers
    if words and heads != "gqa":
        raise ValueError(f"{words}: answers belong to a GQA network, found {source.config.name}")
    named = answers.words(words, answer_heads(source.config)) if words else None
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = Path(folder) / "tokenizer.json"
        source.tokenizer.save(str(tokenizer))
        found = export(source.config, source.network, tokenizer, out, version, precision, named)
    for graph, outputs in found.items():
        for output, value in outputs.items():
            yield f"{graph}.onnx {output}", value
    ids = torch.tensor([source.tokenizer.encode(CHECK_CAPTION).ids])
    image = torch.randn(1, 3, *CHECK_SIZE, generator=torch.Generator().manual_seed(0))
    expected = run(source.network, image, ids)
    for name, value in run_bundle(out, source.network, image, ids).items():
        yield f"whole bundle {name}", difference(value.numpy(), expected[name])


def answer_heads(config: Config) -> dict[str, int]:
    """Classes of each answer head of a configuration."""
    c = config.network
    return answers.classes(c.answers, c.answer_classes, c.answer_attributes)


@torch.no_grad()
def run(network: nn.Module, image: Tensor, ids: Tensor) -> dict[str, Tensor]:
    """Everything that the network says about an image [1, 3, H, W] and token ids [1, L]; masks of
    every query."""
    mask = torch.ones_like(ids)
    maps = as_tuple(network.vision(image))
    position = network.position(*image.shape[2:])
    outputs = network.fusion(maps[0], position, network.text(ids, mask), mask)
    named = dict(zip(network.fusion_outputs, outputs, strict=True))
    if network.config.masks:
        named["masks"] = network.mask(named["hidden"], named["memory"], *maps)
    return named


def run_bundle(
    bundle: Path, network: nn.Module, image: Tensor, ids: Tensor, length_step: int = 1
) -> dict[str, Tensor]:
    """The same from the graphs under ONNX Runtime; the network gives positions and names only. The
    text is padded to a multiple of `length_step` before fusion."""

    def call(graph: str, **inputs: Tensor) -> list[Tensor]:
        return [torch.from_numpy(v) for v in run_graph(bundle / f"{graph}.onnx", inputs)]

    mask = torch.ones_like(ids)
    maps = call("vision", image=image)
    (text,) = call("text", input_ids=ids, attention_mask=mask)
    padding = -ids.shape[1] % length_step
    text = nn.functional.pad(text, (0, 0, 0, padding))
    mask = nn.functional.pad(mask, (0, padding))
    position = network.position(*image.shape[2:])
    outputs = call("fusion", tokens=maps[0], position=position, text_memory=text, text_mask=mask)
    named = dict(zip(network.fusion_outputs, outputs, strict=True))
    if network.config.masks:
        pyramid = dict(zip(["tokens", *network.pyramid], maps, strict=True))
        hidden, memory = named["hidden"], named["memory"]
        (named["masks"],) = call("mask", hidden=hidden, memory=memory, **pyramid)
    return named
