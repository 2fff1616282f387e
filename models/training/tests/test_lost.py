"""What is not seen any more: which objects it is, and that it leaves the rest as it is."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mdetr_training.config import Config
from mdetr_training.export import export
from mdetr_training.losses import lost_loss
from mdetr_training.lost import Lost
from mdetr_training.matcher import Hidden, Matches, Others, Targets
from mdetr_training.network import MDETR, Outputs
from mdetr_training.past import Past
from mdetr_training.remembered import Remembered
from mdetr_training.segmentation import build
from mdetr_training.weights import transfer


def scene(config: Config, present: list[int], *instants: list[int]) -> tuple[Past, list[Tensor]]:
    """Query states [1, 5, d] and boxes of objects that are there now and were at instants, newest
    first: each has a state and a place of its own; a query without an object says so."""
    c = replace(config.network, past=len(instants), lost=2, queries=5)
    past = Past(c)
    torch.nn.init.orthogonal_(past.identity.weight)
    torch.nn.init.zeros_(past.presence.weight)
    past.presence.weight.data[0, 0] = 10.0
    past.presence.bias.data.zero_()
    past.likeness.data.fill_(30.0)
    generator = torch.Generator().manual_seed(1)
    known = torch.randn(5, c.d_model, generator=generator)
    known[:, 0] = 1.0
    places = torch.rand(5, 4, generator=generator) * 0.2 + torch.arange(5)[:, None] * 0.15

    def at(objects: list[int]) -> tuple[Tensor, Tensor]:
        states = torch.randn(5, c.d_model, generator=generator)
        states[:, 0] = -1.0
        boxes = torch.rand(5, 4, generator=generator)
        states[: len(objects)], boxes[: len(objects)] = known[objects], places[objects]
        return states, boxes

    states, boxes = zip(*map(at, instants), strict=True)
    age = 0.4 * torch.arange(1, len(instants) + 1)[None]
    now = [x[None] for x in at(present)]
    return past, [*now, torch.stack(states)[None], torch.stack(boxes)[None], age]


@torch.no_grad()
def found(config: Config, present: list[int], *instants: list[int]) -> list[tuple[int, float]]:
    """Which query of which instant is lost, and how long ago it was seen, if any is."""
    past, (hidden, boxes, *before) = scene(config, present, *instants)
    trace = past.trace(hidden, boxes, *before)
    lost = Lost(replace(config.network, past=len(instants), lost=2))
    candidates = lost.candidates(past, trace)
    pairs = zip(candidates.place[0].tolist(), candidates.age[0].tolist(), strict=True)
    return sorted((place, round(age, 3)) for place, age in pairs if age > 0)


def test_what_no_later_instant_shows_is_lost(config: Config):
    assert found(config, [0, 1, 2], [2, 0, 1], [1, 2, 0]) == []
    # The fourth was seen last 0.8 seconds ago, as the first query of the second instant.
    assert found(config, [0, 1, 2], [2, 0, 1], [3, 1, 2, 0]) == [(5, 0.8)]
    # Newest of two, and two of them.
    assert found(config, [0], [0, 3], [3, 1, 0]) == [(1, 0.4), (6, 0.8)]
    assert found(config, [0, 3], [0], [3, 0]) == []


@pytest.fixture
def network(config: Config) -> MDETR:
    torch.manual_seed(0)
    return build(replace(config.network, past=3, lost=2)).eval()


def inputs(network: MDETR, count: int) -> tuple[Tensor, ...]:
    ids = torch.randint(5, 300, (1, 7)).expand(count, -1)
    tokens = network.vision(torch.randn(count, 3, 64, 80))
    mask = torch.ones_like(ids)
    return tokens, network.position(64, 80), network.text(ids, mask), mask


def fused(network: MDETR, *given: Tensor) -> dict[str, Tensor]:
    return dict(zip(network.fusion_outputs, network.fusion(*given), strict=True))


@torch.no_grad()
def test_the_rest_stays_as_it_is(network: MDETR, config: Config):
    without = build(replace(config.network, past=3)).eval()
    transfer(network, without, new_heads=True)
    given = inputs(network, 2)
    q, d = network.config.queries, network.config.d_model
    past = torch.randn(2, 3, q, d), torch.rand(2, 3, q, 4), torch.tensor([[0.4, 0.8, 0]] * 2)
    for remembered in ((), past):
        mine, theirs = fused(network, *given, *remembered), fused(without, *given, *remembered)
        assert mine["logits"].shape[1] == q + 2
        for name, value in theirs.items():
            torch.testing.assert_close(mine[name][:, : value.shape[1]], value)
        if not remembered:
            assert (mine["lost_age"] == 0).all()
            nothing = mine["logits"][:, q:].softmax(-1)[..., -1]
            assert (nothing > 0.9999).all()


@torch.no_grad()
def test_training_reads_as_the_graph_does(network: MDETR):
    given = inputs(network, 3)
    rows = torch.tensor([[0, 0], [0, 1], [1, 0]])
    age = torch.tensor([[0.0, 0.0], [0.4, 0.0], [0.3, 0.7]])
    trained: Outputs = network(*given, remembered=Remembered(rows, age))
    alone = fused(network, *given)
    graph = fused(network, *given, alone["hidden"][rows], alone["present_boxes"][rows], age)
    q = network.config.queries
    torch.testing.assert_close(trained.lost, graph["logits"][:, q:], atol=1e-5, rtol=1e-5)
    assert ((trained.lost_places >= 0) == (graph["lost_age"] > 0)).all()


def test_words_belong_to_the_object_that_is_hidden():
    """Of two rows the second remembers the first, whose query 1 showed object 7; of two candidates
    that were on it the first is asked for its words."""
    targets = Targets(
        torch.zeros(2, 1, 4),
        torch.zeros(2, 1, 3, dtype=torch.bool),
        torch.ones(2, 1, dtype=torch.bool),
        objects=torch.tensor([[7], [4]]),
        others=Others(torch.zeros(2, 1, 4), torch.tensor([[4], [-1]])),
        hidden=Hidden(
            torch.tensor([[-1], [7]]),
            torch.tensor([[[False] * 3], [[False, True, False]]]),
        ),
        known=torch.tensor([True, True]),
    )
    named = Matches(torch.tensor([0, 1]), torch.tensor([1, 0]), torch.tensor([0, 0]))
    other = Matches(torch.tensor([0]), torch.tensor([0]), torch.tensor([0]))
    remembered = Remembered(torch.tensor([[0], [0]]), torch.tensor([[0.0], [0.5]]))
    logits = torch.zeros(2, 3, 5)
    logits[:, :, -1] = 20.0
    logits[1, 0, 1], logits[1, 0, -1] = 20.0, 0.0
    outputs = Outputs(
        logits=torch.zeros(1, 2, 2, 5),
        boxes=torch.zeros(1, 2, 2, 4),
        query_embeddings=None,
        text_embeddings=None,
        lost=logits,
        lost_places=torch.tensor([[-1, -1, -1], [1, 1, 0]]),
    )
    assert lost_loss(outputs, remembered, targets, (named, other)) < 1e-6
    outputs.lost = logits[:, [1, 0, 2]]
    assert lost_loss(outputs, remembered, targets, (named, other)) > 10


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_bundle_has_it(
    network: MDETR, config: Config, tokenizer: Path, tmp_path: Path, precision: str
):
    c = replace(config, network=network.config)
    differences = export(c, network, tokenizer, tmp_path / "bundle", "0.1.0", precision)
    assert "lost_age" in differences["fusion"]
    manifest = tomllib.loads((tmp_path / "bundle/model.toml").read_text())
    assert manifest["network"]["lost"] == 2
