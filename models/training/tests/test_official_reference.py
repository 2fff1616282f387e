"""The parity tests' small bundles and the outputs that belong to them."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mdetr_training import official, reference, structures
from mdetr_training import tokenizer as tokenizers
from mdetr_training.config import InputConfig

FOLDER = Path(__file__).parents[3] / "src/mdetr/tests/data/official"


NAMES = [*structures.NETWORKS, "resnet101" + reference.INT8]


@pytest.mark.parametrize("name", NAMES)
def test_committed_bundles_give_the_committed_outputs(name: str):
    network = official.from_random(name.removesuffix(reference.INT8), reduced=True).network
    tokenizer = tokenizers.load(FOLDER / name / "tokenizer.json")
    tensors = load_file(FOLDER / f"{name}.safetensors")
    cases = json.loads((FOLDER / "cases.json").read_text())
    assert [len(tokenizer.encode(case["caption"]).ids) for case in cases] == [5, 40]
    used = set()
    for i, case in enumerate(cases):
        pixels = tensors[f"pixels.{i}"]
        assert pixels.shape == (case["height"], case["width"], 3)
        image = reference.normalise(pixels, InputConfig())
        ids = torch.tensor([tokenizer.encode(case["caption"]).ids])
        step = reference.LENGTH_STEP if name.endswith(reference.INT8) else 1
        found = official.run_bundle(FOLDER / name, network, image, ids, step)
        used |= {f"{k}.{i}" for k in (*found, "pixels")}
        for output, value in found.items():
            torch.testing.assert_close(value, tensors[f"{output}.{i}"], atol=1e-4, rtol=1e-5)
    assert used == set(tensors)


def test_the_data_are_small():
    sizes = [p.stat().st_size for p in FOLDER.rglob("*") if p.is_file()]
    assert sum(sizes) < 4 << 20
    for name in NAMES:
        assert sum(p.stat().st_size for p in (FOLDER / name).iterdir()) < 450 << 10
