"""The paper's optimisation against the released checkpoints' order and against hand counts."""

from dataclasses import replace

import pytest
import torch
from test_structures import released

from mdetr_training import structures
from mdetr_training.network import MDETR
from mdetr_training.recipe import (
    Ema,
    Rates,
    Schedule,
    adamw,
    freeze_first_layers,
    groups,
    load_state,
    ordered,
    set_rates,
)
from mdetr_training.segmentation import build

TRAINED = {
    "resnet101": 185_160_324,
    "efficientnetB3": 152_581_036,
    "efficientnetB5": 169_714_164,
    "clevr": 111_200_939,
    "resnet101_gqa": 185_847_022,
    "efficientnetB5_gqa": 170_400_862,
    "resnet101_phrasecut": 186_461_085,
    "efficientnetB3_phrasecut": 153_731_269,
}
"""Parameters that the official code trains."""


@pytest.mark.parametrize("name", structures.NETWORKS)
def test_parameters_come_in_the_released_order(name: str):
    network = structures.empty(structures.NETWORKS[name])
    parameters = dict(network.named_parameters())
    assert [n for n, _ in ordered(network)] == [n for n in released()[name] if n in parameters]
    freeze_first_layers(network)
    parts = groups(network)
    assert sum(p.numel() for part in parts for _, p in part) == TRAINED[name]
    prefix = "detr." if network.config.masks else ""
    rest, image, text = ({n for n, _ in part} for part in parts)
    assert f"{prefix}transformer.resizer.fc.weight" in rest and f"{prefix}input_proj.bias" in rest
    assert all(n.startswith(f"{prefix}backbone.0.body.") for n in image)
    assert all(n.startswith(f"{prefix}transformer.text_encoder.") for n in text)
    if "resnet" in network.config.backbone:
        assert f"{prefix}backbone.0.body.layer2.0.conv1.weight" in image
        assert f"{prefix}backbone.0.body.layer1.0.conv1.weight" not in image


def test_the_head_of_final_objects_comes_after_the_classes():
    network = structures.empty(replace(structures.NETWORKS["clevr"], final=True))
    names = [n for n, _ in ordered(network)]
    place = names.index("isfinal_embed.weight")
    assert names[place - 1 : place + 3] == [
        "class_embed.bias",
        "isfinal_embed.weight",
        "isfinal_embed.bias",
        "bbox_embed.layers.0.weight",
    ]


def test_groups_have_their_rates():
    network = build(structures.config("clevr", reduced=True).network)
    extra = torch.nn.Parameter(torch.zeros(3))
    optimizer = adamw(network, Rates(3.0, 2.0, 1.0), weight_decay=0.5, more=[extra])
    assert [g["lr"] for g in optimizer.param_groups] == [3.0, 2.0, 1.0]
    assert [g["weight_decay"] for g in optimizer.param_groups] == [0.5] * 3
    assert optimizer.param_groups[0]["params"][-1] is extra
    set_rates(optimizer, Rates(3.0, 2.0, 1.0), (0.5, 0.25, 0.0))
    assert [g["lr"] for g in optimizer.param_groups] == [1.5, 0.5, 0.0]


def test_step_schedule():
    schedule = Schedule(epochs=5, steps_per_epoch=10, kind="step", drop=2)
    assert schedule.factors(19) == (1.0, 1.0, 1.0)
    assert schedule.factors(20) == (0.1, 0.1, 0.1)
    assert schedule.factors(49) == pytest.approx((0.01, 0.01, 0.01))


def test_multistep_schedule():
    schedule = Schedule(epochs=120, steps_per_epoch=2, kind="multistep", drop=15)
    assert schedule.factors(29) == (1.0, 1.0, 1.0)
    assert schedule.factors(30) == (0.5, 0.5, 0.5)
    assert schedule.factors(2 * 65) == (0.25, 0.25, 0.25)
    assert schedule.factors(2 * 115) == (0.125, 0.125, 0.125)


def test_linear_schedule_of_the_text_encoder():
    schedule = Schedule(epochs=10, steps_per_epoch=40, drop=6)
    assert [schedule.factors(i)[2] for i in (0, 1, 4)] == [0.0, 0.25, 1.0]
    assert schedule.factors(202)[2] == pytest.approx(0.5)
    assert schedule.factors(400)[2] == 0.0
    assert schedule.factors(239)[:2] == (1.0, 1.0)
    assert schedule.factors(240)[:2] == (0.1, 0.1)


def test_linear_schedule_of_everything():
    schedule = Schedule(epochs=10, steps_per_epoch=40, kind="all_linear_with_warmup", drop=1)
    assert schedule.factors(1) == (0.25, 0.25, 0.25)
    assert Schedule(1, 10, "all_linear_with_warmup").factors(0) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"kind": "cosine"}, "schedule: expected one of step, multistep, linear_with_warmup, all"),
        ({"drop": 0}, "drop: expected 1 at least, found 0"),
        ({"steps_per_epoch": 0}, "steps_per_epoch: expected 1 at least, found 0"),
        ({"warmup": 1.5}, "warmup: expected a share from 0 to 1, found 1.5"),
    ],
)
def test_impossible_schedules_are_refused(fault: dict, message: str):
    with pytest.raises(ValueError, match=message):
        Schedule(**{"epochs": 1, "steps_per_epoch": 1} | fault)


def stepped(network: torch.nn.Module) -> torch.optim.AdamW:
    """An optimiser after a step on gradients that differ from each other everywhere."""
    torch.manual_seed(1)
    optimizer = adamw(network, Rates())
    for part in groups(network):
        for _, parameter in part:
            parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    return optimizer


def moments(optimizer: torch.optim.AdamW, network: torch.nn.Module) -> dict[str, torch.Tensor]:
    named = [item for part in groups(network) for item in part]
    return {name: optimizer.state[p]["exp_avg"] for name, p in named}


@pytest.mark.parametrize("old", [False, True])
def test_state_goes_to_the_parameters_that_it_came_from(old: bool):
    """Also that of files written with an older transformers, whose embeddings come in another
    order."""
    network = build(structures.config("resnet101", reduced=True).network)
    optimizer = stepped(network)
    expected = moments(optimizer, network)
    state = optimizer.state_dict()
    if old:
        word, kind, weight, bias, place, *others = state["param_groups"][2]["params"]
        state["param_groups"][2]["params"] = [word, place, kind, weight, bias, *others]
    again = adamw(network, Rates())
    load_state(again, network, state)
    found = moments(again, network)
    assert all(torch.equal(found[name], value) for name, value in expected.items())


def test_state_of_another_network_is_refused():
    network = build(structures.config("resnet101", reduced=True).network)
    state = stepped(network).state_dict()
    other = build(replace(network.config, queries=8))
    with pytest.raises(ValueError, match=r"query_embed.weight: expected \(8, 16\), found \(9, 16"):
        load_state(adamw(other, Rates()), other, state)
    freeze_first_layers(network)
    with pytest.raises(ValueError, match=r"expected groups of .* or to other frozen parts"):
        load_state(adamw(network, Rates()), network, state)


def test_average(network: MDETR):
    average = Ema(network)
    before = {k: v.clone() for k, v in average.network.state_dict().items()}
    other = Ema(network).network
    with torch.no_grad():
        for value in other.state_dict().values():
            value.add_(1)
    average.update(other, 0.75)
    for name, value in average.network.state_dict().items():
        change = 0.25 if value.is_floating_point() else 1
        torch.testing.assert_close(value, before[name] + change)
