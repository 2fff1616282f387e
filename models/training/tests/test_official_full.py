"""The released structures at full size: `make test-models FULL=1`, some minutes and 6 GB."""

import json
import os
from pathlib import Path

import pytest
import torch

from mdetr_training import official, structures
from mdetr_training import tokenizer as tokenizers

pytestmark = pytest.mark.skipif(not os.environ.get("FULL"), reason="takes minutes; set FULL=1")


@pytest.mark.parametrize("name", structures.NETWORKS)
def test_bundles_agree_with_torch(name: str, tmp_path: Path):
    source = official.from_random(name)
    assert all(d < 1e-4 for _, d in official.write(source, tmp_path, "0.1.0"))
    generator = torch.Generator().manual_seed(1)
    for height, width, length in [(256, 352, 5), (427, 640, 40)]:
        image = torch.randn(1, 3, height, width, generator=generator)
        ids = torch.randint(5, 50000, (1, length), generator=generator)
        expected = official.run(source.network, image, ids)
        found = official.run_bundle(tmp_path, source.network, image, ids)
        for output, value in expected.items():
            scale = max(1.0, float(value.abs().max()))
            assert (found[output] - value).abs().max() < 1e-4 * scale, output
        assert (found["boxes"] - expected["boxes"]).abs().max() < 1e-5


def vocabulary(folder: Path) -> None:
    """vocab.json and merges.txt of roberta-base's size, with merges for nothing."""
    vocab = tokenizers.byte_level().get_vocab()
    mask = vocab.pop("<mask>")
    names = sorted(vocab, key=vocab.get)
    names.insert(mask, "<filler>")
    names += [f"<filler {i}>" for i in range(50264 - len(names))] + ["<mask>"]
    (folder / "vocab.json").write_text(json.dumps({n: i for i, n in enumerate(names)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")


def test_a_checkpoint_as_large_as_the_released_one(tmp_path: Path):
    state = official.from_random("clevr").network.state_dict()
    torch.save({"model": state, "model_ema": None, "epoch": 29}, tmp_path / "clevr.pth")
    vocabulary(tmp_path)
    source = official.from_checkpoint(tmp_path / "clevr.pth", tmp_path)
    assert source.config.name == "mdetr_clevr"
    assert all(d < 1e-4 for _, d in official.write(source, tmp_path / "bundle", "0.1.0"))
    assert source.network.config.queries == 25
