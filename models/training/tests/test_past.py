"""What the network remembers: an empty past, the camera's motion, clips; that motion is learnt."""

import tomllib
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor

from mdetr_training.config import Config
from mdetr_training.export import export
from mdetr_training.network import MDETR, Outputs
from mdetr_training.past import Past, applied
from mdetr_training.remembered import Remembered
from mdetr_training.segmentation import build
from mdetr_training.transformer import MASKED, Attention


@pytest.fixture
def network(config: Config) -> MDETR:
    torch.manual_seed(0)
    found = build(replace(config.network, past=3)).eval()
    for name, parameter in found.past.named_parameters():
        if name.endswith(("out_proj.weight", "linear2.weight")):
            torch.nn.init.xavier_uniform_(parameter)
    return found


def seen(network: MDETR, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    ids = torch.randint(5, 300, (1, 7)).expand(count, -1)
    mask = torch.ones_like(ids)
    tokens = network.vision(torch.randn(count, 3, 64, 80))
    return tokens, network.position(64, 80), network.text(ids, mask), mask


def fused(network: MDETR, *inputs: Tensor, past: tuple[Tensor, ...] | None = None) -> dict:
    outputs = network.fusion(*inputs, *(past or ()))
    return dict(zip(network.fusion_outputs, outputs, strict=True))


@torch.no_grad()
def test_an_empty_past_is_none(network: MDETR):
    """Whatever stands in instants that are none."""
    inputs = seen(network, 2)
    alone = fused(network, *inputs)
    q, d = network.config.queries, network.config.d_model
    rubbish = torch.randn(2, 3, q, d), torch.rand(2, 3, q, 4), torch.zeros(2, 3)
    for name, found in fused(network, *inputs, past=rubbish).items():
        torch.testing.assert_close(found, alone[name], atol=1e-6, rtol=0)
    rubbish[2][:, 1] = 0.5
    other = fused(network, *inputs, past=rubbish)
    assert (other["logits"] - alone["logits"]).abs().max() > 1e-3
    for name in ("hidden", "present_boxes"):
        torch.testing.assert_close(other[name], alone[name])


def test_what_is_read_of_an_own_past_is_what_attention_reads():
    """Without projecting each key and value."""
    torch.manual_seed(0)
    attention = Attention(32, 4, 0.0).double()
    torch.nn.init.normal_(attention.in_proj_bias)
    query, own = torch.randn(6, 32).double(), torch.randn(6, 5, 32).double()
    mask = MASKED * (torch.rand(6, 5) < 0.4)
    mask[:, 0] = 0.0
    found = attention.to_own(query, own, mask)
    expected = attention(query[:, None], own, own, mask[:, None, None])[:, 0]
    torch.testing.assert_close(found, expected)
    loss = (found**2).sum(), (expected**2).sum()
    for name, parameter in attention.named_parameters():
        gradients = [torch.autograd.grad(x, parameter, retain_graph=True)[0] for x in loss]
        torch.testing.assert_close(*gradients, msg=name)


def at(middles: Tensor) -> Tensor:
    """Boxes [..., 4] about points [..., 2]."""
    return torch.cat([middles, torch.full_like(middles, 0.1)], -1)


def facts(past: Past, moved: Tensor, age: Tensor) -> Tensor:
    """Of objects in the picture's middle that were found at every instant."""
    boxes, found = at(torch.full((1, 4, 2), 0.5)), torch.ones(*moved.shape[:3], 1)
    shown = past.shown_at(boxes)
    aside = moved[..., :2] - applied(shown, past.camera(shown, moved[..., :2], found))
    return past.facts(moved, aside, found, age)


def seen_moving(past: Past, camera: float) -> Tensor:
    """Facts of four objects at 0.5 and 1 second ago, of which the last moves by 0.1 widths per
    second while the camera turns by `camera` widths per second."""
    age = torch.tensor([[0.5, 1.0]])
    speed = torch.full((4,), camera)
    speed[3] += 0.1
    moved = torch.zeros(1, 2, 4, 4)
    moved[..., 0] = age[..., None] * speed
    return facts(past, moved, age)


@torch.no_grad()
def test_what_most_do_is_the_cameras_motion(config: Config):
    """Beside it, an object moves as if the camera stood still."""
    past = Past(replace(config.network, past=2))
    still, turned = seen_moving(past, 0.0), seen_moving(past, 0.2)
    beside = slice(-19, None)
    torch.testing.assert_close(turned[..., beside], still[..., beside], atol=0.02, rtol=0)
    assert (turned - still).abs().max() > 0.5
    assert still[0, 0, :3, beside].abs().max() < 1.02
    moves = (still[0, :, 3] - still[0, :, 0])[:, beside]
    assert moves[0].max() > 0.5


@torch.no_grad()
def test_queries_without_an_object_have_no_say_in_the_cameras_motion(config: Config):
    """Two objects went to the right as the camera turned; two queries that show nothing did not."""
    past = Past(replace(config.network, past=1))
    moved = torch.zeros(1, 1, 4, 2)
    moved[..., :2, 0] = 0.1
    there = torch.tensor([0.98, 0.98, 0.02, 0.02])[None, None, :, None]
    middle = at(torch.full((1, 4, 2), 0.5))
    camera = past.camera(past.shown_at(middle), moved, there * torch.ones(1, 1, 4, 1))
    torch.testing.assert_close(camera[0, 0, 0], torch.tensor([0.1, 0.0]), atol=0.005, rtol=0)


def looked_at(points: Tensor, pan: float) -> Tensor:
    """Where points [N, 3] are in the picture of a camera that looks down at the origin from eight
    away, by 33 degrees, and is turned to the right about the vertical by `pan`: [N, 2], right and
    down of the middle, in widths and heights; its focal length is 1.1 widths of 4/3 heights."""
    down, turn = torch.tensor(33.0).deg2rad(), torch.tensor(pan)
    eye = 8.0 * torch.stack([torch.zeros(()), -down.cos(), down.sin()])
    ahead = torch.stack([turn.sin() * down.cos(), turn.cos() * down.cos(), -down.sin()])
    right = torch.stack([turn.cos(), -turn.sin(), torch.zeros(())])
    seen = (points - eye) @ torch.stack([right, torch.linalg.cross(ahead, right), ahead]).T
    return 1.1 * seen[:, :2] / seen[:, 2:] * torch.tensor([1.0, 4 / 3])


@torch.no_grad()
def test_a_camera_that_pans_turns_the_picture_too(config: Config):
    """Three objects of four stand still, in the corners of the picture; beside the camera's motion
    they do, and the fourth has moved as far as it did."""
    points = torch.tensor([[-2.4, 1.5, 0.3], [2.6, 1.8, 0.3], [2.0, -1.7, 0.3], [-1.8, -1.5, 0.3]])
    before = looked_at(points, 0.0)
    walked = points + torch.tensor([[0.0], [0.0], [0.0], [0.4]]) * torch.tensor([1.0, 0.0, 0.0])
    after, stayed = looked_at(walked, 0.05), looked_at(points, 0.05)
    assert before.abs().max() < 0.5
    moved = (after - before)[None, None]
    found = torch.ones(1, 1, 4, 1)
    past = Past(replace(config.network, past=1))
    shown = past.shown_at(at(after[None] + 0.5))
    camera = applied(shown, past.camera(shown, moved, found))[0, 0]
    straight = (stayed - before)[:3].mean(0)
    assert (stayed - before - straight)[:3].abs().max() > 0.01
    torch.testing.assert_close(camera[:3], (stayed - before)[:3], atol=0.003, rtol=0)
    torch.testing.assert_close(
        (after - before - camera)[3], (after - stayed)[3], atol=0.004, rtol=0
    )


@torch.no_grad()
def test_velocity_at_an_instant_is_since_the_one_before(config: Config):
    """Of what moved until half a second ago: none now, some before, unknown at first."""
    past = Past(replace(config.network, past=3))
    age = torch.tensor([[0.5, 1.0, 1.5]])
    moved = torch.zeros(1, 3, 4, 4)
    moved[0, :, 3, 1] = torch.tensor([0.0, 0.2, 0.4])
    told = facts(past, moved, age)
    # Last of three pairs of x and y at the first of three scales; then whether it is known.
    velocity = told[..., [-15, -14]]
    assert velocity[0, :, :3].abs().max() < 0.02
    torch.testing.assert_close(
        velocity[0, :, 3], torch.tensor([[0.0, 0.38], [0.0, 0.38], [0.0, 0.0]]), atol=0.02, rtol=0
    )
    assert told[0, :, 3, -1].tolist() == [1.0, 1.0, 0.0]


@torch.no_grad()
def test_training_remembers_as_the_graph_does(network: MDETR):
    """Rows of a batch that are another row's past, against what the graph gave for them."""
    inputs = seen(network, 3)
    rows = torch.tensor([[0, 0], [0, 1], [1, 0]])
    age = torch.tensor([[0.0, 0.0], [0.4, 0.0], [0.3, 0.7]])
    trained: Outputs = network(*inputs, remembered=Remembered(rows, age))
    alone = fused(network, *inputs)
    past = alone["hidden"][rows], alone["present_boxes"][rows], age
    found = fused(network, *inputs, past=past)
    torch.testing.assert_close(trained.logits[-1], found["logits"], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(trained.boxes[-1], found["boxes"], atol=1e-5, rtol=1e-5)
    assert trained.was.shape == (3, 2, network.config.queries, network.config.queries + 1)


def test_direction_is_learnt(config: Config):
    """Of objects that are known by what they are, which moved to the right."""
    torch.manual_seed(0)
    c = replace(config.network, past=2)
    past = Past(c)
    head = torch.nn.Linear(c.d_model, 1)
    optimizer = torch.optim.AdamW([*past.parameters(), *head.parameters()], 3e-3)
    text, mask = torch.zeros(32, 3, c.d_model), torch.ones(32, 3)
    right = 0.0
    for step in range(200):
        hidden = torch.randn(32, 4, c.d_model)
        boxes = torch.cat([torch.rand(32, 4, 2), torch.full((32, 4, 2), 0.1)], -1)
        velocity = 0.1 * torch.randn(32, 4)
        order = torch.stack([torch.randperm(4) for _ in range(32)])
        age = torch.rand(32, 2) + 0.1
        before = boxes[:, None].repeat(1, 2, 1, 1)
        before[..., 0] -= velocity[:, None] * age[..., None]
        index = order[:, None, :, None]
        before = before.gather(2, index.expand(-1, 2, -1, 4))
        known = hidden[:, None].expand(-1, 2, -1, -1)
        known = known.gather(2, index.expand(-1, 2, -1, c.d_model))
        x, _ = past(hidden, boxes, text, mask, known, before, age)
        logits = head(x)[..., 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, (velocity > 0).float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step >= 180:
            right += float(((logits > 0) == (velocity > 0)).float().mean()) / 20
    assert right > 0.9, right


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_bundle_has_the_past(
    network: MDETR, config: Config, tokenizer: Path, tmp_path: Path, precision: str
):
    """Its graph is compared with PyTorch's as it is written: with a past and without."""
    c = replace(config, network=network.config)
    differences = export(c, network, tokenizer, tmp_path / "bundle", "0.1.0", precision)
    assert {"hidden", "present_boxes"} <= set(differences["fusion"])
    manifest = tomllib.loads((tmp_path / "bundle/model.toml").read_text())
    assert manifest["network"]["past"] == 3
    graph = onnx.load(tmp_path / "bundle/fusion.onnx").graph
    assert [i.name for i in graph.input][-3:] == ["past", "past_boxes", "past_age"]
