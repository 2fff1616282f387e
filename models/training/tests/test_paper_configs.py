"""The paper's recipes as configurations: what they say is what was published."""

from pathlib import Path

import pytest
import torch

from mdetr_training import config as configs
from mdetr_training import structures
from mdetr_training.recipe import KINDS, adamw
from mdetr_training.train import check_stages, rates, set_modes

FOLDER = Path(__file__).resolve().parents[1] / "configs" / "paper"
# Epochs, the epoch of the drop, captions in a batch, and rates of transformer, backbone and text.
PUBLISHED = {
    "pretrain_resnet101": (40, 35, 64, 1e-4, 1e-5, 5e-5),
    "pretrain_efficientnetB3": (40, 35, 64, 1e-4, 5e-5, 5e-5),
    "pretrain_efficientnetB5": (40, 35, 64, 1e-4, 5e-5, 5e-5),
    "refcoco": (5, 3, 8, 5e-5, 1e-5, 1e-5),
    "refcocoplus": (5, 3, 8, 5e-5, 1e-5, 1e-5),
    "refcocog": (3, 2, 8, 5e-5, 1e-5, 1e-5),
    "phrasecut_1": (10, 11, 64, 5e-5, 1e-5, 1e-5),
    "phrasecut_2": (35, 25, 64, 1e-4, 1e-5, 5e-5),
    "gqa": (5, 6, 128, 1.4e-4, 1.4e-5, 7e-5),
    "lvis": (150, 120, 64, 1e-4, 1e-5, 5e-5),
    "clevr_1": (30, 20, 64, 1e-4, 1e-5, 5e-5),
    "clevr_2": (30, 20, 64, 1e-4, 1e-5, 5e-5),
    "clevr_humans": (60, 40, 64, 1e-4, 1e-5, 5e-5),
    "clevr_ref": (30, 20, 64, 1e-4, 1e-5, 5e-5),
}
# The released structure whose entries each recipe's network has, where there is one.
STRUCTURES = {
    "pretrain_resnet101": "resnet101",
    "pretrain_efficientnetB3": "efficientnetB3",
    "pretrain_efficientnetB5": "efficientnetB5",
    "refcoco": "resnet101",
    "refcocoplus": "resnet101",
    "refcocog": "resnet101",
    "phrasecut_2": "resnet101_phrasecut",
    "gqa": "resnet101_gqa",
    "lvis": "resnet101",
    "clevr_2": "clevr",
    "clevr_humans": "clevr",
}


def test_every_recipe_is_there():
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_recipe(name: str):
    config = configs.load(FOLDER / f"{name}.toml")
    check_stages(config.stages, config.network, scenes=False)
    (stage,) = config.stages
    found = rates(stage)
    assert (stage.epochs, stage.lr_drop, stage.images) == PUBLISHED[name][:3]
    assert (found.rest, found.backbone, found.text_encoder) == PUBLISHED[name][3:]
    assert stage.schedule == KINDS[2] == "linear_with_warmup" and stage.warmup_share == 0.01
    assert (stage.weight_decay, stage.clip_norm) == (1e-4, 0.1)
    averaged = not name.startswith("clevr") and name != "phrasecut_2"
    assert (stage.ema_decay, stage.ema_warmup) == (0.9998 if averaged else 0.0, False)
    assert config.network.dropout == 0.1 and stage.loss.eos_coef == 0.1
    network = structures.empty(config.network)
    if name in STRUCTURES:
        shapes = {k: tuple(v.shape) for k, v in network.state_dict().items()}
        assert shapes == structures.shapes(STRUCTURES[name])
    set_modes(network, stage)
    groups = adamw(network, found).param_groups
    assert [group["lr"] for group in groups] == list(PUBLISHED[name][3:])
    trained = [sum(p.numel() for p in group["params"]) for group in groups]
    if name == "phrasecut_2":
        heads = (network.bbox_attention, network.mask_head)
        assert trained == [sum(p.numel() for head in heads for p in head.parameters()), 0, 0]
    else:
        assert all(trained)
    assert torch.device("meta") == next(network.parameters()).device
