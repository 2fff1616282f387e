"""`mdetr import` against the exporter: the same graphs with the same weights."""

import fcntl
import gzip
import json
import os
import shutil
import signal
import subprocess
import time
import tomllib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from checkpoints import MDETR, ROOT, official_answers, perturbed, run, training
from onnx import numpy_helper
from safetensors.torch import save_file

from mdetr_training import official, structures, templates
from mdetr_training.segmentation import build

BUNDLE = ["fusion.onnx", "model.toml", "text.onnx", "tokenizer.json", "vision.onnx"]
ROUNDED = ("mdetr_clevr", "mdetr_efficientnetB3_phrasecut")
"""Structures that are compared in all precisions."""
FULL = os.environ.get("FULL")
"""Set to make the templates of all structures anew, for half an hour and 8 GB."""


@pytest.fixture(scope="module", params=list(structures.NETWORKS))
def source(request, roberta) -> official.Source:
    return perturbed(official.from_random(request.param, roberta, reduced=True))


def imported(small: Path, roberta: Path, content: object, folder: Path, *more: object) -> Path:
    """The bundle that `mdetr import` makes of a checkpoint with this content."""
    torch.save(content, folder / "checkpoint.pth")
    out = folder / "bundle"
    arguments = ("--tokenizer", roberta, "--out", out, "--structures", small, *more)
    done = run("import", folder / "checkpoint.pth", *arguments)
    assert done.returncode == 0, done.stderr
    return out


def exported(source: official.Source, folder: Path, precision: str = "fp32", words=None) -> Path:
    out = folder / "exported"
    differences = dict(official.write(source, out, "0.1.0", precision, words))
    assert differences
    return out


def canonical(model: onnx.ModelProto) -> list[str]:
    """The graph's nodes with tensors numbered as they come; numbers in their names differ."""
    numbers = {}
    fixed = [v.name for v in [*model.graph.input, *model.graph.output]]

    def number(name: str) -> str:
        return name if name in fixed or not name else str(numbers.setdefault(name, len(numbers)))

    lines = []
    for node in model.graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.ClearField("name")
        copy.input[:] = map(number, node.input)
        copy.output[:] = map(number, node.output)
        lines.append(str(copy))
    weights = {number(t.name): (t.data_type, list(t.dims)) for t in model.graph.initializer}
    lines += [f"{name}: {what}" for name, what in sorted(weights.items())]
    lines += map(str, [*model.graph.input, *model.graph.output, *model.opset_import])
    return lines


def weights_in_order(model: onnx.ModelProto) -> list[np.ndarray]:
    values = {t.name: t for t in model.graph.initializer}
    used = dict.fromkeys(name for node in model.graph.node for name in node.input)
    return [numpy_helper.to_array(values[name]) for name in used if name in values]


def ulps(a: np.ndarray, b: np.ndarray) -> int:
    """The most representable numbers between values."""
    if a.dtype.kind != "f":
        return int(np.abs(a.astype(int) - b.astype(int)).max(initial=0))
    kind = {2: np.int16, 4: np.int32, 8: np.int64}[a.itemsize]
    ordered = []
    for value in (a, b):
        bits = np.ascontiguousarray(value).view(kind).astype(np.int64)
        ordered.append(np.where(bits < 0, np.iinfo(kind).min - bits, bits))
    return int(np.abs(ordered[0] - ordered[1]).max(initial=0))


def compare(found: Path, expected: Path, computed: Callable[[str], bool]) -> None:
    """All files of bundles; graphs for which something is computed may differ by 1 ulp."""
    names = sorted(path.name for path in expected.iterdir())
    assert sorted(path.name for path in found.iterdir()) == names
    manifests = [tomllib.loads((b / "model.toml").read_text()) for b in (found, expected)]
    files = [m.pop("files") for m in manifests]
    assert manifests[0] == manifests[1]
    assert set(files[0]) == set(files[1])
    for name in names:
        if name.endswith(".json"):
            a, b = (json.loads((bundle / name).read_text()) for bundle in (found, expected))
            assert a == b, name
        if name.endswith(".onnx"):
            a, b = (onnx.load(bundle / name) for bundle in (found, expected))
            onnx.checker.check_model(a, full_check=True)
            assert canonical(a) == canonical(b), name
            most = max(map(ulps, weights_in_order(a), weights_in_order(b)))
            assert most <= computed(name.removesuffix(".onnx")), name


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_bundles_equal_the_exporters(source, small, roberta, precision: str, tmp_path: Path):
    if precision != "fp32" and source.config.name not in ROUNDED:
        pytest.skip("the same graphs as of others")
    expected = exported(source, tmp_path, precision)
    content = training(source.network.state_dict())
    found = imported(small, roberta, content, tmp_path, "--precision", precision)
    compare(found, expected, lambda graph: graph == "vision")


def larger(name: str, roberta: Path) -> official.Source:
    """With other numbers of queries and of answers, and without the heads of training."""
    config = structures.config(name, reduced=True)
    config.network.queries = 4
    config.network.contrastive_dim = 0
    if config.network.answers == "gqa":
        config.network.answer_classes = [5, 7, 9, 11, 13, 15]
    network = build(config.network).eval()
    source = official.Source(config, network, official.tokenizers.roberta(roberta))
    return perturbed(source)


@pytest.mark.parametrize("name", ["resnet101", "clevr", "efficientnetB5_gqa"])
def test_fine_tuned_models_with_other_sizes(small, roberta, name: str, tmp_path: Path):
    source = larger(name, roberta)
    words, more = None, ()
    if source.config.network.answers == "gqa":
        words = official_answers(source, tmp_path)
        more = ("--answers", words)
    expected = exported(source, tmp_path, words=words)
    content = {"model": source.network.state_dict(), "model_ema": None}
    found = imported(small, roberta, content, tmp_path, *more)
    compare(found, expected, lambda graph: graph == "vision")


@pytest.fixture
def clevr(roberta) -> official.Source:
    return perturbed(official.from_random("clevr", roberta, reduced=True))


def test_all_forms_of_files(clevr, small, roberta, tmp_path: Path):
    """Half and double precision, views, shared storages, both formats, and safetensors."""
    source = clevr
    state = source.network.state_dict()
    rounded = {name: value.half().float() for name, value in state.items()}
    source.network.load_state_dict(rounded)
    expected = exported(source, tmp_path)
    whole = torch.cat([v.flatten() for v in rounded.values()])
    shared, at = {}, 0
    for name, value in rounded.items():
        shared[name] = whole[at : at + value.numel()].view(value.shape)
        at += value.numel()
    turned = {k: v.T.contiguous().T if v.dim() == 2 else v for k, v in rounded.items()}
    forms = {
        "half": {k: v.half() for k, v in rounded.items()},
        "double": {k: v.double() for k, v in rounded.items()},
        "shared": shared,
        "turned": turned,
    }
    for form, content in forms.items():
        folder = tmp_path / form
        folder.mkdir()
        found = imported(small, roberta, {"model": content}, folder)
        compare(found, expected, lambda graph: graph == "vision")
    out = tmp_path / "legacy"
    torch.save({"model": rounded}, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(rounded, tmp_path / "weights.safetensors")
    for i, file in enumerate(["legacy.pth", "weights.safetensors"]):
        arguments = ("--tokenizer", roberta, "--out", out / str(i), "--structures", small)
        done = run("import", tmp_path / file, *arguments)
        assert done.returncode == 0, done.stderr
        compare(out / str(i), expected, lambda graph: graph == "vision")


@pytest.mark.parametrize(
    "fault", ["missing", "unexpected", "shape", "nan", "foreign", "cut", "int"]
)
def test_what_is_refused(clevr, small, roberta, fault: str, tmp_path: Path):
    state = dict(clevr.network.state_dict())
    expected = {
        "missing": ["Nearest: clevr", "missing: query_embed.weight"],
        "unexpected": ["unexpected: isfinal_embed.weight"],
        "shape": ["of another shape: class_embed.bias (expected (256), found (255))"],
        "nan": ["class_embed.bias: not every value is finite"],
        "foreign": ["fractions.Fraction", "not read"],
        "cut": ["download or copy it again"],
        "int": ["class_embed.bias: expected weights, found I64"],
    }
    match fault:
        case "missing":
            del state["query_embed.weight"]
        case "unexpected":
            state["isfinal_embed.weight"] = torch.zeros(1, 16)
        case "shape":
            state["class_embed.bias"] = torch.zeros(255)
        case "nan":
            state["class_embed.bias"] = torch.full((256,), torch.nan)
        case "int":
            state["class_embed.bias"] = torch.zeros(256, dtype=torch.int64)
    content = {"model": state}
    if fault == "foreign":
        content["args"] = Fraction(1, 2)
    path = tmp_path / "checkpoint.pth"
    torch.save(content, path)
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:-2000])
    out = tmp_path / "bundle"
    done = run("import", path, "--tokenizer", roberta, "--out", out, "--structures", small)
    assert done.returncode == 2
    for part in expected[fault]:
        assert part in done.stderr
    assert str(path) in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.pth"]


def test_damage_is_found(clevr, small, roberta, tmp_path: Path):
    """One bit of a weight, which any value would do for."""
    path = tmp_path / "checkpoint.pth"
    weight = clevr.network.query_embed.weight
    torch.save({"model": clevr.network.state_dict()}, path)
    data = bytearray(path.read_bytes())
    data[data.find(weight.detach().numpy().tobytes())] ^= 1
    path.write_bytes(data)
    out = tmp_path / "bundle"
    done = run("import", path, "--tokenizer", roberta, "--out", out, "--structures", small)
    assert done.returncode == 2
    assert "checksum" in done.stderr and "download or copy it again" in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pth"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_stopped_at_any_moment(clevr, small, roberta, how: signal.Signals, tmp_path: Path):
    """A bundle is there as a whole, or not at all; and the next import clears up."""
    path = tmp_path / "checkpoint.pth"
    torch.save({"model": clevr.network.state_dict()}, path)
    out = tmp_path / "bundle"
    arguments = [path, "--tokenizer", roberta, "--out", out, "--structures", small]
    whole = 0
    for i in range(20):
        child = subprocess.Popen([MDETR, "import", *map(str, arguments)], stderr=subprocess.PIPE)
        time.sleep(0.004 * i)
        child.send_signal(how)
        errors = child.communicate()[1].decode()
        if out.exists():
            whole += 1
            assert sorted(p.name for p in out.iterdir()) == BUNDLE
            shutil.rmtree(out)
        elif how == signal.SIGINT and child.returncode == 2:
            assert "stopped; nothing was written" in errors
            assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.pth"]
    assert whole < 20
    done = run("import", *arguments)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "checkpoint.pth"]


def test_two_at_once(clevr, small, roberta, tmp_path: Path):
    path = tmp_path / "checkpoint.pth"
    torch.save({"model": clevr.network.state_dict()}, path)
    (tmp_path / ".bundle.partial").mkdir()
    arguments = ("--tokenizer", roberta, "--out", tmp_path / "bundle", "--structures", small)
    held = os.open(tmp_path / ".bundle.partial", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    done = run("import", path, *arguments)
    os.close(held)
    assert done.returncode == 2
    assert "another program is writing it" in done.stderr
    assert run("import", path, *arguments).returncode == 0


def test_nothing_that_is_there_is_lost(clevr, small, roberta, tmp_path: Path):
    content = {"model": clevr.network.state_dict()}
    bundle = imported(small, roberta, content, tmp_path)
    again = ("--tokenizer", roberta, "--out", bundle, "--structures", small)
    before = (bundle / "model.toml").read_text()
    done = run("import", tmp_path / "checkpoint.pth", *again)
    assert done.returncode == 2
    assert "--replace" in done.stderr
    assert (bundle / "model.toml").read_text() == before
    done = run("import", tmp_path / "checkpoint.pth", *again, "--replace", "--version", "2")
    assert done.returncode == 0, done.stderr
    assert tomllib.loads((bundle / "model.toml").read_text())["version"] == "2"
    other = tmp_path / "letters"
    other.mkdir()
    (other / "dear.txt").write_text("mine")
    arguments = ("--tokenizer", roberta, "--out", other, "--structures", small, "--replace")
    assert run("import", tmp_path / "checkpoint.pth", *arguments).returncode == 2
    assert (other / "dear.txt").read_text() == "mine"
    assert not list(tmp_path.glob(".*"))


def test_vocabulary_and_merges_serve_too(clevr, small, tmp_path: Path):
    vocabulary = tmp_path / "roberta"
    vocabulary.mkdir()
    official.tokenizers.byte_level().model.save(str(vocabulary))
    content = {"model": clevr.network.state_dict()}
    found = imported(small, vocabulary, content, tmp_path)
    official.tokenizers.roberta(vocabulary).save(str(tmp_path / "expected.json"))
    expected = json.loads((tmp_path / "expected.json").read_text())
    assert json.loads((found / "tokenizer.json").read_text()) == expected


def lines_of(packed: bytes) -> list[str]:
    model = onnx.ModelProto.FromString(gzip.decompress(packed))
    return [f"{t.doc_string} {list(t.dims)}" for t in model.graph.initializer] + canonical(model)


@pytest.mark.parametrize("name", list(structures.NETWORKS) if FULL else ["clevr"])
def test_templates_of_the_repository_are_the_exporters(name: str):
    folder = ROOT / "src" / "weights" / "templates" / name
    made = templates.template(name)
    assert sorted(made) == sorted(path.name for path in folder.iterdir())
    for file, content in made.items():
        found = (folder / file).read_bytes()
        if file.endswith(".gz"):
            assert lines_of(found) == lines_of(content), file
        else:
            assert found == content, file


def test_templates_are_small():
    files = (ROOT / "src" / "weights" / "templates").rglob("*")
    assert sum(path.stat().st_size for path in files if path.is_file()) < 2 << 20
