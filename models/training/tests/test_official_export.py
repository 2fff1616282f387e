"""Bundles of the released structures: graphs that agree with PyTorch, and what is in model.toml."""

import argparse
import json
import tomllib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from mdetr_training import __main__ as command
from mdetr_training import int8, official, structures
from mdetr_training import tokenizer as tokenizers
from mdetr_training.export import TOLERANCES, as_tuple, run_graph
from mdetr_training.random_weights import random_network

NAMES = ["resnet101", "efficientnetB3", "resnet101_gqa", "clevr", "resnet101_phrasecut"]
CASES = [(64, 96, 5), (75, 107, 40)]
"""Height, width and tokens."""


@pytest.fixture(scope="module")
def sources() -> dict[str, official.Source]:
    return {name: official.from_random(name, reduced=True) for name in NAMES}


@pytest.fixture(scope="module")
def bundles(sources, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("fp32")
    for name, source in sources.items():
        assert all(d < 1e-4 for _, d in official.write(source, folder / name, "0.1.0"))
    return {name: folder / name for name in sources}


def example(height: int, width: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(height)
    ids = torch.randint(5, 261, (1, length), generator=generator)
    ids[0, 0], ids[0, -1] = 0, 2
    return torch.randn(1, 3, height, width, generator=generator), ids


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", CASES)
def test_bundles_agree_with_torch(sources, bundles, name: str, case: tuple[int, int, int]):
    network = sources[name].network
    image, ids = example(*case)
    expected = official.run(network, image, ids)
    found = official.run_bundle(bundles[name], network, image, ids)
    assert set(found) == set(expected)
    for output, value in expected.items():
        torch.testing.assert_close(found[output], value, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(found["boxes"], expected["boxes"], atol=1e-5, rtol=0)
    if "masks" in found:
        a, b = found["masks"] > 0, expected["masks"] > 0
        assert (a & b).sum() >= 0.999 * (a | b).sum()


@torch.no_grad()
@pytest.mark.parametrize("name", ["efficientnetB3", "resnet101_phrasecut"])
def test_batches_of_images_and_captions(sources, bundles, name: str):
    network = sources[name].network
    images = torch.cat([example(75, 107, 5)[0], example(75, 107, 5)[0].flip(3)])
    expected = as_tuple(network.vision(images))
    found = run_graph(bundles[name] / "vision.onnx", {"image": images})
    for f, e in zip(found, expected, strict=True):
        torch.testing.assert_close(torch.from_numpy(f), e, atol=1e-4, rtol=1e-4)
    text, mask = torch.randn(2, 6, 16), torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    for tokens in (expected[0], expected[0][:1]):
        inputs = (tokens, network.position(75, 107), text, mask)
        names = ["tokens", "position", "text_memory", "text_mask"]
        found = run_graph(bundles[name] / "fusion.onnx", dict(zip(names, inputs, strict=True)))
        for f, e in zip(found, network.fusion(*inputs), strict=True):
            torch.testing.assert_close(torch.from_numpy(f), e, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_manifest(bundles, name: str):
    manifest = tomllib.loads((bundles[name] / "model.toml").read_text())
    more = {"resnet101_gqa": ["questions"], "clevr": ["questions"]}
    more["resnet101_phrasecut"] = ["segmentation"]
    assert manifest["tasks"] == ["grounding", *more.get(name, [])]
    assert manifest["name"] == f"mdetr_{name}"
    assert manifest.get("answers", {}).get("kind") == {
        "resnet101_gqa": "gqa",
        "clevr": "clevr",
    }.get(name)
    statistics = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    sides = {"resize": "short-side", "short_side": 800, "max_long_side": 1333}
    assert manifest["input"] == ({"resize": "none"} if name == "clevr" else sides) | statistics
    network = {"d_model": 16, "queries": 9, "slots": 256, "stride": 32, "max_tokens": 255}
    assert manifest["network"] == network
    assert manifest["thresholds"] == {"score": 0.7, "phrase": 0.1, "overlap": 1.0}
    assert manifest["captions"] == "sentences"
    assert "case" not in manifest, "RoBERTa tells capitals"
    assert ("mask.onnx" in manifest["files"]) == (name == "resnet101_phrasecut")
    assert set(manifest["files"]) | {"model.toml"} == {p.name for p in bundles[name].iterdir()}


@pytest.mark.parametrize(
    ("name", "queries", "answers"),
    [("resnet101", 100, 0), ("clevr", 25, 4), ("resnet101_gqa", 100, 6)],
)
def test_full_structures_have_the_released_sizes(name: str, queries: int, answers: int):
    network = structures.empty(structures.NETWORKS[name])
    assert network.config.queries == queries
    assert (network.config.slots, network.config.d_model, network.stride) == (256, 256, 32)
    assert len(network.fusion_outputs) == 2 + answers


@pytest.mark.parametrize("name", ["efficientnetB3", "clevr"])
def test_weights_of_8_bit(sources, bundles, tmp_path, name: str):
    source = sources[name]
    assert all(d < 0.1 for _, d in official.write(source, tmp_path, "0.1.0", "int8"))
    assert tomllib.loads((tmp_path / "model.toml").read_text())["precision"] == "int8"
    for graph in ("text", "fusion"):
        model = onnx.load(tmp_path / f"{graph}.onnx")
        weights = {i.name: i.data_type for i in model.graph.initializer}
        products = [n for n in model.graph.node if n.name.startswith(int8.LAYERS)]
        kinds = {
            (node.op_type, weights[i])
            for node in products
            for i in node.input
            if node.op_type in ("MatMul", "MatMulInteger") and i in weights
        }
        assert kinds >= {("MatMulInteger", TensorProto.INT8)}, graph
        assert ("MatMul", TensorProto.FLOAT) not in kinds, graph
        assert not model.graph.value_info
    for graph in ("vision.onnx", "tokenizer.json"):
        assert (tmp_path / graph).read_bytes() == (bundles[name] / graph).read_bytes()


def test_a_graph_without_layers_is_not_passed_off_as_8_bit(bundles):
    with pytest.raises(ValueError, match="expected products in /text_encoder/encoder/"):
        int8.to_int8(onnx.load(bundles["clevr"] / "vision.onnx"))


@pytest.mark.parametrize("name", ["efficientnetB3", "resnet101_phrasecut", "clevr"])
def test_half_precision(sources, tmp_path, name: str):
    source = sources[name]
    assert all(d < 5e-2 for _, d in official.write(source, tmp_path, "0.1.0", "fp16"))
    assert tomllib.loads((tmp_path / "model.toml").read_text())["precision"] == "fp16"
    for path in tmp_path.glob("*.onnx"):
        model = onnx.load(path)
        kinds = {v.type.tensor_type.elem_type for v in [*model.graph.input, *model.graph.output]}
        assert kinds <= {TensorProto.FLOAT, TensorProto.INT64}
        large = [i for i in model.graph.initializer if np.prod(i.dims) > 300]
        assert {i.data_type for i in large} == {TensorProto.FLOAT16}, path.name
        assert not model.graph.value_info
    for case in CASES:
        image, ids = example(*case)
        expected = official.run(source.network, image, ids)
        found = official.run_bundle(tmp_path, source.network, image, ids)
        for output, value in expected.items():
            scale = max(1.0, float(value.abs().max()))
            assert (found[output] - value).abs().max() < 2e-2 * scale, output
        assert (found["boxes"] - expected["boxes"]).abs().max() < 5e-3


def test_padding_is_derived_from_the_input(bundles):
    graph = onnx.load(bundles["efficientnetB3"] / "vision.onnx").graph
    attributes = [{a.name: a for a in n.attribute} for n in graph.node if n.op_type == "Conv"]
    strided = [a for a in attributes if list(a["strides"].ints) == [2, 2]]
    assert len(strided) == 5
    assert all(a["auto_pad"].s == b"SAME_UPPER" and "pads" not in a for a in strided)
    assert not any(n.op_type in ("Pad", "BatchNormalization") for n in graph.node)


@pytest.fixture
def released(sources, tmp_path) -> Path:
    """A checkpoint as they are released, with other averaged weights, and a tokenizer."""
    network = random_network(structures.config("resnet101_gqa", reduced=True).network, seed=5)
    ids = torch.arange(514)[None]
    name = "transformer.text_encoder.embeddings.position_ids"
    content = {
        "model": {**sources["resnet101_gqa"].network.state_dict(), name: ids},
        "model_ema": {**network.state_dict(), name: ids},
        "epoch": 4,
        "args": argparse.Namespace(output_dir=Path("/tmp/run")),
    }
    torch.save(content, tmp_path / "gqa.pth")
    tokenizers.byte_level().save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def run_command(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", ["mdetr_training", "export-official", *map(str, arguments)])
    command.main()


def test_command_exports_a_checkpoint(released, monkeypatch, capsys):
    heads = {"obj": 3, "rel": 20, "attr": 12, "cat": 16, "global": 8}
    table = {f"answer_{k}": {f"{k} {i}": i for i in reversed(range(n))} for k, n in heads.items()}
    (released / "answers.json").write_text(json.dumps(table))
    arguments = [released / "gqa.pth", "--small", "--tokenizer", released, "--out"]
    arguments += [released / "bundle", "--answers", released / "answers.json"]
    run_command(monkeypatch, *arguments)
    printed = capsys.readouterr().out
    assert "gqa.pth: mdetr_resnet101_gqa\n" in printed
    assert "whole bundle answer_global: differs from PyTorch by at most" in printed
    words = json.loads((released / "bundle/answers.json").read_text())
    assert words["answer_rel"][:2] == ["rel 0", "rel 1"]
    assert {k: len(v) for k, v in words.items()} == {f"answer_{k}": n for k, n in heads.items()}
    manifest = tomllib.loads((released / "bundle/model.toml").read_text())
    assert "answers.json" in manifest["files"]
    averaged = random_network(structures.config("resnet101_gqa", reduced=True).network, seed=5)
    image, ids = example(*CASES[0])
    expected = official.run(averaged, image, ids)["logits"]
    found = official.run_bundle(released / "bundle", averaged, image, ids)["logits"]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("tokenizer", "expected the 261 tokens"),
        ("answers", "answer_rel: expected the classes 0 to 19 once each, found 2 answers"),
        ("no tokenizer", "--tokenizer: expected the folder of roberta-base's tokenizer files"),
        ("full size", "not one of resnet101, efficientnetB3"),
    ],
)
def test_command_refuses(released, monkeypatch, change: str, message: str):
    arguments = [released / "gqa.pth", "--small", "--out", released / "bundle"]
    if change != "no tokenizer":
        arguments += ["--tokenizer", released]
    if change == "tokenizer":
        tokenizers.train(["all all objects"] * 9, 265).save(str(released / "tokenizer.json"))
    if change == "full size":
        arguments.remove("--small")
    if change == "answers":
        table = {"answer_obj": {"a": 0, "b": 1, "c": 2}, "answer_rel": {"a": 0, "b": 0}}
        (released / "answers.json").write_text(json.dumps(table))
        arguments += ["--answers", released / "answers.json"]
    with pytest.raises(SystemExit, match=message):
        run_command(monkeypatch, *arguments)
    assert not (released / "bundle").exists()


def test_a_difference_from_torch_leaves_no_bundle(sources, tmp_path, monkeypatch):
    monkeypatch.setitem(TOLERANCES, "fp32", 1e-12)
    with pytest.raises(RuntimeError, match=r"differs from PyTorch by .*, expected at most 1e-12"):
        list(official.write(sources["clevr"], tmp_path / "bundle", "0.1.0"))
    assert not (tmp_path / "bundle").exists()
