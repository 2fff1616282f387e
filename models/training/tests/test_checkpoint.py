"""Released files are recognised whole or refused, and never run."""

import argparse
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from test_structures import released

from mdetr_training import checkpoint, structures
from mdetr_training.checkpoint import CheckpointError
from mdetr_training.random_weights import random_network

NAME = "clevr"
POSITION_IDS = "transformer.text_encoder.embeddings.position_ids"


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    network = random_network(structures.config(NAME, reduced=True).network)
    return {k: v.clone() for k, v in network.state_dict().items()}


def content(state: dict[str, torch.Tensor], ema: dict | None) -> dict:
    """What the released files hold."""
    return {
        "model": {**state, POSITION_IDS: torch.arange(514)[None]},
        "model_ema": ema,
        "optimizer": {"state": {0: {"step": 3}}, "param_groups": [{"lr": 1e-4}]},
        "epoch": 39,
        "args": argparse.Namespace(output_dir=Path("/checkpoints/run"), lr=1e-4, masks=False),
    }


@pytest.fixture
def saved(state, tmp_path) -> Path:
    path = tmp_path / "checkpoint.pth"
    averaged = {k: v + 1 for k, v in state.items()}
    torch.save(content(state, averaged), path)
    return path


@pytest.mark.parametrize(("weights", "shift"), [(None, 1), ("ema", 1), ("model", 0)])
def test_averaged_weights_are_taken_unless_told_otherwise(saved, state, weights, shift):
    found = checkpoint.read(saved, weights)
    assert set(found) == set(state)
    for name, value in state.items():
        assert torch.equal(found[name], value + shift), name
    assert checkpoint.recognise(saved, found, reduced=True) == NAME


def test_a_file_without_averaged_weights(state, tmp_path):
    path = tmp_path / "checkpoint.pth"
    torch.save(content(state, None), path)
    assert torch.equal(checkpoint.read(path)["query_embed.weight"], state["query_embed.weight"])
    with pytest.raises(CheckpointError, match="expected model_ema, found model, model_ema, opt"):
        checkpoint.read(path, "ema")


def test_counters_of_batch_norms_are_ignored(state, tmp_path):
    path = tmp_path / "checkpoint.pth"
    torch.save({"model": {**state, "backbone.0.body.bn1.num_batches_tracked": 1}}, path)
    assert set(checkpoint.read(path)) == set(state)


@pytest.mark.parametrize("name", structures.NETWORKS)
def test_every_released_structure_is_recognised(name: str):
    state = {k: torch.empty(shape, device="meta") for k, shape in released()[name].items()}
    assert checkpoint.recognise(Path("x.pth"), state) == name


def test_what_does_not_fit_is_listed(state):
    wrong = dict(state)
    del wrong["query_embed.weight"]
    wrong["class_embed.weight"] = torch.zeros(91, 16)
    wrong |= {f"extra.{i}": torch.zeros(1) for i in range(1000)}
    with pytest.raises(CheckpointError) as error:
        checkpoint.recognise(Path("x.pth"), wrong, reduced=True)
    text = str(error.value)
    assert "Nearest: clevr" in text
    assert "missing: query_embed.weight\n" in text
    assert "unexpected: extra.0, " in text and "and 994 more" in text
    assert "class_embed.weight (expected (256, 16), found (91, 16))" in text
    assert len(text) < 2000


def test_small_weights_are_not_a_released_structure(state):
    with pytest.raises(CheckpointError, match="not one of resnet101, efficientnetB3"):
        checkpoint.recognise(Path("x.pth"), state)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], "expected a checkpoint with `model`, found list"),
        ({"state_dict": {}}, "expected model_ema or model, found state_dict"),
        ({"model": 3}, "model: expected weights, found int"),
        ({"model": {"a": "b"}}, "model.a: expected weights, found str"),
        ({"model": {"a": torch.tensor([1])}}, "model.a: expected weights, found torch.int64"),
        (
            {"model": {"a": torch.eye(2).to_sparse()}},
            "model.a: expected weights, found torch.float",
        ),
    ],
)
def test_other_contents_are_refused(tmp_path, value, message):
    path = tmp_path / "checkpoint.pth"
    torch.save(value, path)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.read(path)


def test_values_must_be_finite(state):
    found = checkpoint.values(Path("x.pth"), {"a": torch.ones(2, dtype=torch.float16)})
    assert found["a"].dtype == torch.float32
    with pytest.raises(CheckpointError, match="query: not every value is finite"):
        checkpoint.values(Path("x.pth"), {"query": torch.tensor([1.0, float("nan")])})


def test_a_tensor_larger_than_its_storage_costs_no_memory(state, tmp_path):
    path = tmp_path / "checkpoint.pth"
    torch.save({"model": {**state, "query_embed.weight": torch.ones(1).expand(1 << 45)}}, path)
    with pytest.raises(CheckpointError, match=r"query_embed.weight \(expected \(9, 16\), found"):
        checkpoint.recognise(path, checkpoint.read(path), reduced=True)


def test_compressed_archives_are_refused(saved, tmp_path):
    path = tmp_path / "packed.pth"
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for record in old.infolist():
            new.writestr(record.filename, old.read(record))
    with pytest.raises(CheckpointError, match="which compresses nothing, found compressed"):
        checkpoint.read(path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_files_are_refused(saved, share):
    data = saved.read_bytes()
    saved.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CheckpointError, match=r"checkpoint.pth: expected a checkpoint written by"):
        checkpoint.read(saved)


def test_damaged_files_are_refused(saved):
    with zipfile.ZipFile(saved) as archive:
        record = max(archive.infolist(), key=lambda r: r.file_size)
    data = bytearray(saved.read_bytes())
    data[record.header_offset + 300] ^= 0x40
    saved.write_bytes(data)
    with pytest.raises(CheckpointError, match="the file is damaged"):
        checkpoint.read(saved)


def test_renamed_files_are_refused(tmp_path):
    path = tmp_path / "checkpoint.pth"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(CheckpointError, match="found 108 bytes that are not one"):
        checkpoint.read(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match="expected a checkpoint written by"):
        checkpoint.read(path)
    with pytest.raises(CheckpointError, match="no such file"):
        checkpoint.read(tmp_path / "missing.pth")


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_nothing_in_a_file_is_run(state, tmp_path, form):
    path, marker = tmp_path / "checkpoint.pth", tmp_path / "was-run"
    value = {**content(state, None), "args": Hostile(marker)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(value["args"]))
    else:
        torch.save(value, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(CheckpointError, match=r"nothing of it was run|expected a checkpoint"):
        checkpoint.read(path)
    assert not marker.exists()


def test_the_error_names_what_the_file_would_run(state, tmp_path):
    path = tmp_path / "checkpoint.pth"
    torch.save({**content(state, None), "args": Hostile(tmp_path / "was-run")}, path)
    with pytest.raises(CheckpointError, match=r"refers to posix.system, which a checkpoint"):
        checkpoint.read(path)
