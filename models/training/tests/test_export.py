"""The exporter: graphs that agree with PyTorch on shapes that they were not traced with."""

import hashlib
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from mdetr_training import official
from mdetr_training.config import BundleConfig, Config
from mdetr_training.data import ATTRIBUTES
from mdetr_training.export import export
from mdetr_training.network import MDETR
from mdetr_training.segmentation import build


@pytest.fixture(scope="module")
def bundle(network: MDETR, config: Config, tokenizer: Path, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "tiny"
    export(config, network, tokenizer, out, "0.1.0")
    return out


def test_manifest_lists_every_file(bundle: Path):
    manifest = tomllib.loads((bundle / "model.toml").read_text())
    names = {"text.onnx", "vision.onnx", "fusion.onnx", "tokenizer.json"}
    assert set(manifest["files"]) == names
    assert {p.name for p in bundle.iterdir()} == names | {"model.toml"}
    for name, entry in manifest["files"].items():
        data = (bundle / name).read_bytes()
        assert entry["bytes"] == len(data)
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()


@torch.no_grad()
@pytest.mark.parametrize(("height", "width", "length"), [(48, 64, 3), (65, 97, 12)])
def test_graphs_agree_with_torch(bundle: Path, network: MDETR, height, width, length):
    torch.manual_seed(1)
    image = torch.randn(1, 3, height, width)
    ids = torch.randint(5, 300, (1, length))
    mask = torch.ones_like(ids)
    position = network.position(height, width)
    expected = network.fusion(network.vision(image), position, network.text(ids, mask), mask)

    def run(name: str, inputs: dict) -> list:
        path = str(bundle / f"{name}.onnx")
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return session.run(None, {k: np.asarray(v) for k, v in inputs.items()})

    (tokens,) = run("vision", {"image": image})
    (text,) = run("text", {"input_ids": ids, "attention_mask": mask})
    found = run(
        "fusion",
        {
            "tokens": tokens,
            "position": position,
            "text_memory": text,
            "text_mask": mask,
        },
    )
    for f, e in zip(found, expected, strict=True):
        torch.testing.assert_close(torch.from_numpy(f), e, atol=1e-4, rtol=0)


def test_tokenizer_larger_than_the_embedding_is_refused(network, config, tokenizer, tmp_path):
    config.network.text.vocab_size = 10
    try:
        with pytest.raises(ValueError, match="tokens, but the text encoder has embeddings for 10"):
            export(config, network, tokenizer, tmp_path / "out", "0.1.0")
    finally:
        config.network.text.vocab_size = 400
    assert not (tmp_path / "out").exists()


def test_an_unknown_case_is_refused(network, config, tokenizer, tmp_path):
    config = replace(config, bundle=BundleConfig(case="upper"))
    with pytest.raises(ValueError, match=r"bundle.case: expected one of .*lower.* found 'upper'"):
        export(config, network, tokenizer, tmp_path / "out", "0.1.0")
    assert not (tmp_path / "out").exists()


def test_a_head_without_an_output_is_refused(network, config, tokenizer, tmp_path):
    config = replace(config, network=replace(config.network, final=True))
    with pytest.raises(ValueError, match=r"network.final: expected false"):
        export(config, network, tokenizer, tmp_path / "out", "0.1.0")
    assert not (tmp_path / "out").exists()


@torch.no_grad()
def test_masks_and_answers(config: Config, tokenizer: Path, tmp_path: Path):
    """Every graph agrees with PyTorch, also in a row on a picture that was not traced."""
    torch.manual_seed(2)
    words = [word for values in ATTRIBUTES.values() for word in values]
    c = replace(config.network, answers="clevr", answer_attributes=words, masks=True, mask_width=16)
    c.aligned_logits = c.answers_from_objects = True
    network = build(c).eval()
    config = replace(config, network=c, bundle=BundleConfig("list", 0.8, 0.2, 0.6, 0.5, "lower"))
    found = export(config, network, tokenizer, tmp_path / "bundle", "0.1.0")
    heads = ["answer_type", "answer_binary", "answer_reg", "answer_attr"]
    assert list(found["vision"]) == ["tokens", "pyramid_8", "pyramid_4"]
    assert list(found["fusion"]) == ["logits", "boxes", "hidden", "memory", *heads]
    assert list(found["mask"]) == ["masks"]
    manifest = tomllib.loads((tmp_path / "bundle/model.toml").read_text())
    assert manifest["tasks"] == ["grounding", "segmentation", "questions"]
    assert manifest["answers"] == {"kind": "clevr", "attributes": words}
    assert (manifest["captions"], manifest["case"]) == ("list", "lower")
    assert manifest["thresholds"] == {
        "score": 0.8,
        "phrase": 0.2,
        "overlap": 0.6,
        "tight": 0.5,
    }
    assert "mask.onnx" in manifest["files"]
    image, ids = torch.randn(1, 3, 75, 107), torch.randint(5, 300, (1, 9))
    expected = official.run(network, image, ids)
    outputs = official.run_bundle(tmp_path / "bundle", network, image, ids)
    assert outputs["masks"].shape == (1, c.queries, 19, 27)
    assert outputs["answer_attr"].shape == (1, len(words))
    for name, value in outputs.items():
        torch.testing.assert_close(value, expected[name], atol=1e-4, rtol=1e-4)


def test_wrong_masks_stop_the_export(
    config: Config, tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    c = replace(config.network, masks=True)
    network = build(c).eval()
    draw, calls = network.mask_head.forward, []

    def other(*inputs):
        calls.append(inputs)
        return draw(*inputs) + len(calls)

    monkeypatch.setattr(network.mask_head, "forward", other)
    with pytest.raises(RuntimeError, match=r"mask.onnx: masks differs from PyTorch by"):
        export(replace(config, network=c), network, tokenizer, tmp_path / "out", "0.1.0")
    assert not (tmp_path / "out").exists()
