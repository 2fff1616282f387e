"""Weights of parts of the network, in the files that others publish."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import timm
import torch
from checkpoints import ROOT
from pictures_files import detection, write_json
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import ResNet
from torchvision.models.resnet import BasicBlock
from transformers import RobertaForMaskedLM, RobertaModel

from mdetr_training import __main__, official, pretrained, structures, weights
from mdetr_training.backbone import build as build_backbone
from mdetr_training.backbone import calibrate
from mdetr_training.segmentation import build
from mdetr_training.train import LATEST, restore


def network(name: str, **changes: object) -> nn.Module:
    config = structures.config(name, reduced=True).network
    for key, value in changes.items():
        setattr(config, key, value)
    return build(config)


def assert_taken(target: nn.Module, given: dict[str, Tensor], but: tuple[str, ...]) -> None:
    """All of the target's entries are those given."""
    state = target.state_dict()
    taken = {k: v for k, v in given.items() if not k.startswith(but) and "num_batches" not in k}
    assert set(state) - set(taken) <= {"pooler.dense.weight", "pooler.dense.bias"}
    assert all(torch.equal(state[name], value) for name, value in taken.items())


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_a_backbone_of_torchvision_is_taken(tmp_path: Path, kind: str):
    theirs = ResNet(BasicBlock, [2, 2, 2, 2])
    file = tmp_path / f"resnet18.{kind}"
    torch.save(theirs.state_dict(), file) if kind == "pth" else save_file(theirs.state_dict(), file)
    mine = network("clevr", backbone_widths=[], backbone_blocks=[])
    pretrained.take(mine, "backbone", file)
    assert_taken(mine.backbone[0].body, theirs.state_dict(), ("fc.",))
    theirs.eval()
    image = torch.rand(1, 3, 64, 64)
    x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))
    for layer in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
        x = layer(x)
    assert torch.allclose(mine.eval().backbone(image), x, atol=1e-5)


def test_a_backbone_of_timm_is_taken(tmp_path: Path):
    theirs = timm.create_model("tf_efficientnet_b3", pretrained=False)
    torch.save(theirs.state_dict(), tmp_path / "b3.pth")
    mine = network("efficientnetB3", backbone_widths=[], backbone_blocks=[])
    pretrained.take(mine, "backbone", tmp_path / "b3.pth")
    assert_taken(mine.backbone[0].body, theirs.state_dict(), ("conv_head.", "bn2.", "classifier."))


@pytest.mark.parametrize("kind", [RobertaModel, RobertaForMaskedLM])
def test_a_text_encoder_of_hugging_face_is_taken(tmp_path: Path, kind: type):
    mine = network("resnet101")
    theirs = kind(mine.transformer.text_encoder.config)
    torch.save(theirs.state_dict(), tmp_path / "pytorch_model.bin")
    pretrained.take(mine, "text", tmp_path / "pytorch_model.bin")
    given = getattr(theirs, "roberta", theirs).state_dict()
    assert_taken(mine.transformer.text_encoder, given, ())


def test_parts_of_whole_networks_are_taken(tmp_path: Path):
    theirs, mine = network("resnet101_phrasecut"), network("resnet101")
    torch.save({"model": theirs.state_dict()}, tmp_path / "phrasecut.pth")
    for name in ("backbone", "text"):
        pretrained.take(mine, name, tmp_path / "phrasecut.pth")
        given = pretrained.part(theirs, name).state_dict()
        assert_taken(pretrained.part(mine, name), given, ())
    bundled = ROOT / "models/training/weights/tabletop.safetensors"
    with pytest.raises(ValueError, match="not this network's backbone"):
        pretrained.take(mine, "backbone", bundled)


def test_what_does_not_fit_is_named_and_changes_nothing(tmp_path: Path):
    mine = network("clevr")
    before = {name: value.clone() for name, value in mine.state_dict().items()}
    cases = {
        "other sizes": ResNet(BasicBlock, [1, 1, 2, 1]).state_dict(),
        "no weights": {"epoch": 3},
        "not finite": {k: v * float("nan") for k, v in mine.backbone[0].body.state_dict().items()},
    }
    expected = {
        "other sizes": r"conv1.weight: expected \(8, 3, 7, 7\), found \(64, 3, 7, 7\)",
        "no weights": "expected weights by name",
        "not finite": "not every value is finite",
    }
    for case, content in cases.items():
        torch.save(content, tmp_path / "file.pth")
        with pytest.raises(ValueError, match=expected[case]):
            pretrained.take(mine, "backbone", tmp_path / "file.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}")
    with pytest.raises(ValueError, match="expected a safetensors file"):
        pretrained.take(mine, "text", tmp_path / "cut.safetensors")
    assert all(torch.equal(value, before[name]) for name, value in mine.state_dict().items())


@pytest.mark.parametrize("name", ["resnet18", "resnet101", "tf_efficientnet_b3"])
def test_frozen_norms_are_calibrated(name: str):
    torch.manual_seed(0)
    widths, blocks = structures.SMALL_BACKBONES[name]
    body = build_backbone(name, widths, blocks).eval()
    image = torch.randn(4, 3, 96, 96)
    calibrate(body, image)
    seen = []
    kinds = ("FrozenBatchNorm2d", "FrozenBatchNormAct2d")
    for module in body.modules():
        if type(module).__name__ in kinds:
            module.register_forward_pre_hook(lambda norm, x: seen.append((norm, x[0])))
    body(image)
    assert len(seen) > 10
    for norm, x in seen:
        scale = (x.mean((0, 2, 3)) - norm.running_mean).abs().max() / x.std()
        assert scale < 1e-4
        assert torch.allclose(x.var((0, 2, 3)), norm.running_var, rtol=1e-3)


@pytest.mark.parametrize("given", ["", "backbone", "init"])
def test_a_run_starts_from_parts(tmp_path: Path, capsys: pytest.CaptureFixture, given: str):
    theirs = official.from_random("clevr", None, reduced=True)
    theirs.tokenizer.save(str(tmp_path / "tokenizer.json"))
    weights.save(tmp_path / "theirs.safetensors", theirs.config, theirs.network)
    write_json(tmp_path / "d" / "a.json", detection(tmp_path / "d"))
    structure = {
        key: value
        for key, value in asdict(theirs.config.network).items()
        if isinstance(value, int | str | list) and not isinstance(value, bool)
    }
    text = {k: v for k, v in asdict(theirs.config.network.text).items()}
    lines = [f"{k} = {json.dumps(v)}" for k, v in structure.items()] + ["[network.text]"]
    lines += [f"{k} = {v}" for k, v in text.items()]
    (tmp_path / "few.toml").write_text(
        "[network]\n"
        + "\n".join(lines)
        + f"""
[input]
resize = "none"
short_side = 64
max_long_side = 100
[data]
workers = 0
[[data.sources]]
annotations = "{tmp_path}/d/a.json"
[[stages]]
epochs = 1
images = 1
freeze = ["backbone", "text"]
"""
    )
    command = [
        "train", str(tmp_path / "few.toml"), "--tokenizer", str(tmp_path / "tokenizer.json"),
        "--out", str(tmp_path / "run"), "--device", "cpu",
        "--text-encoder", str(tmp_path / "theirs.safetensors"),
    ]  # fmt: skip
    if given:
        command += [f"--{given}", str(tmp_path / "theirs.safetensors")]
    if given == "init":
        with pytest.raises(SystemExit, match="expected no --init, which has both"):
            __main__.main(command)
        return
    __main__.main(command)
    _, mine = restore(tmp_path / "run" / LATEST)
    before = theirs.network.state_dict()
    same = {
        name: torch.allclose(value, before[name], atol=1e-3)
        for name, value in mine.state_dict().items()
    }
    assert all(same[name] for name in same if "text_encoder" in name)
    assert not same["class_embed.weight"]
    taken = all(same[name] for name in same if "backbone" in name)
    norm = mine.backbone[0].body.bn1
    if given:
        assert taken and "backbone of" in capsys.readouterr().out
        assert torch.equal(norm.running_mean, before["backbone.0.body.bn1.running_mean"])
    else:
        assert not taken and norm.running_mean.abs().min() > 0
        calibrated = norm.running_mean.clone()
        __main__.main(command)
        _, again = restore(tmp_path / "run" / LATEST)
        assert torch.equal(again.backbone[0].body.bn1.running_mean, calibrated)
