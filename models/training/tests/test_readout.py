"""Answers read from objects, against values worked out by hand."""

import pytest
import torch

from mdetr_training.data import Spans, phrase_roles
from mdetr_training.readout import ObjectReadout, count_distribution, once, role_loss

FACTS = ["exist", "more", "fewer", "equal", "shape", "colour"]


def test_count_distribution():
    found = count_distribution(torch.tensor([0.5, 0.2]), 3)
    torch.testing.assert_close(found, torch.tensor([0.4, 0.5, 0.1]))
    cut = count_distribution(torch.tensor([[1.0, 1.0], [0.0, 1.0]]), 2)
    torch.testing.assert_close(cut, torch.tensor([[0.0, 0.0], [0.0, 1.0]]))


@pytest.fixture
def readout() -> ObjectReadout:
    """Two attributes with two values each, counts below 5; an object's vector is its role."""
    readout = ObjectReadout(2, [[0, 2], [3, 1]], 5)
    with torch.no_grad():
        readout.role.weight.copy_(torch.eye(2))
        readout.role.bias.zero_()
    return readout


def objects(*each: tuple[bool, float, float, list[float]]):
    """Object queries, token logits, boxes and attribute logits of one caption, from whether each
    object is there, its log-odds for both phrases and its attribute logits."""
    logits = torch.tensor([[[10.0, -10.0] if there else [-10.0, 10.0] for there, *_ in each]])
    roles = torch.tensor([[[a, b] for _, a, b, _ in each]])
    boxes = torch.tensor([[[0.2 * i + 0.1, 0.5, 0.1, 0.1] for i in range(len(each))]])
    return roles, logits, boxes, torch.tensor([[attributes for *_, attributes in each]])


def chosen(readout: ObjectReadout, fact: str, *inputs: torch.Tensor) -> float:
    """The answer's log-odds when this fact is asked for."""
    with torch.no_grad():
        readout.choice.weight.zero_()
        readout.choice.bias.fill_(-100.0)
        readout.choice.bias[1 + FACTS.index(fact)] = 100.0
    return readout(*inputs, torch.zeros(1, 2))["binary"].item()


def test_facts_about_two_phrases(readout: ObjectReadout):
    same, other = [9.0, 0.0, -9.0, 0.0], [-9.0, 0.0, 9.0, 0.0]
    inputs = objects(
        (True, 20.0, -20.0, same),
        (True, 20.0, -20.0, same),
        (True, -20.0, 20.0, other),
        (False, 20.0, 20.0, other),
    )
    assert chosen(readout, "exist", *inputs) > 4
    assert chosen(readout, "more", *inputs) > 4
    assert chosen(readout, "fewer", *inputs) < -4
    assert chosen(readout, "equal", *inputs) < -4
    assert chosen(readout, "shape", *inputs) < -4
    assert abs(chosen(readout, "colour", *inputs)) < 1e-4
    counts = readout(*inputs, torch.zeros(1, 2))["reg"]
    assert counts.argmax().item() == 2
    attributes = readout(*inputs, torch.zeros(1, 2))["attr"][0]
    expected = torch.tensor([1.0, 0.5, 1e-4, 0.5]).log()
    torch.testing.assert_close(attributes, expected, atol=1e-3, rtol=0)


def test_facts_where_nothing_is_there(readout: ObjectReadout):
    inputs = objects((False, 20.0, 20.0, [0.0] * 4), (False, 20.0, -20.0, [0.0] * 4))
    assert chosen(readout, "exist", *inputs) < -4
    assert chosen(readout, "equal", *inputs) > 4
    found = readout(*inputs, torch.zeros(1, 2))
    assert all(torch.isfinite(v).all() for v in found.values())


def test_answers_do_not_change_what_objects_show(readout: ObjectReadout):
    roles, *shown = objects((True, 1.0, -1.0, [1.0, 2.0, 3.0, 4.0]))
    for tensor in (roles, *shown):
        tensor.requires_grad_(True)
    found = readout(roles, *shown, torch.zeros(1, 2))
    sum(v.sum() for v in found.values()).backward()
    assert all(tensor.grad is None for tensor in shown)
    assert roles.grad.abs().sum() > 0


def test_a_second_box_on_an_object_counts_once():
    boxes = torch.tensor([[[0.5, 0.5, 0.2, 0.2], [0.51, 0.5, 0.2, 0.2], [0.6, 0.5, 0.2, 0.2]]])
    found = once(torch.tensor([[0.9, 0.6, 0.8]]), boxes)
    # The second shares 0.19 of 0.21 with the first and 0.11 of 0.29 with the third.
    torch.testing.assert_close(found, torch.tensor([[0.9, 0.06, 0.8]]))
    nothing = once(torch.zeros(1, 3), torch.zeros(1, 3, 4))
    torch.testing.assert_close(nothing, torch.zeros(1, 3))


def test_role_loss():
    roles = torch.tensor([[0.0, 100.0], [3.0, 3.0]])
    truth = torch.tensor([[1, 1], [-1, -1]])
    torch.testing.assert_close(role_loss(roles, truth), torch.tensor(0.5 * 0.6931472))
    assert role_loss(roles, -torch.ones(2, 2)) == 0


@pytest.mark.parametrize(
    ("kind", "text", "answer", "phrases", "expected"),
    [
        ("count", "how many balls are behind the cone?", "1", ["balls", "the cone"], [0, 1]),
        ("count", "how many balls are behind the cone?", "0", ["the cone"], [1]),
        ("exist", "is there a ball behind the cone?", "no", ["the cone"], [1]),
        ("exist", "is there a ball?", "yes", ["a ball"], [0]),
        ("compare-number", "are there more balls than cones?", "no", ["cones"], [1]),
        ("compare-number", "are there as many balls as cones?", "no", ["balls"], [0]),
        ("compare-number", "are there fewer balls than cones?", "no", ["balls", "cones"], [0, 1]),
        ("query-attribute", "what size is the ball?", "large", ["the ball"], [0]),
    ],
)
def test_phrase_roles(kind: str, text: str, answer: str, phrases: list[str], expected: list[int]):
    spans = [[[text.index(p), text.index(p) + len(p)]] for p in phrases]
    entry = {"caption": text, "answer": answer}
    found = phrase_roles(entry, kind, Spans(spans, spans))
    assert found == [(1, 0) if e == 0 else (0, 1) for e in expected]


def test_captions_have_no_roles():
    spans = Spans([[[0, 6]]], [[[0, 6]]])
    assert phrase_roles({"caption": "a ball"}, "phrase", spans) == []
