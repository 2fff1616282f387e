"""Geometry, matching and losses against values computed by hand."""

import math

import pytest
import torch

from mdetr_training.answers import attribute_groups
from mdetr_training.batch import Batch
from mdetr_training.boxes import cxcywh_to_xyxy, iou_and_giou
from mdetr_training.config import LossConfig
from mdetr_training.evaluate import answered
from mdetr_training.losses import (
    answer_losses,
    attribute_loss,
    box_losses,
    contrastive_align_loss,
    detection_losses,
    final_loss,
    layer_losses,
    mask_losses,
    matched_masks,
    matched_objects,
    others_losses,
    present_matches,
    read_attributes_loss,
    soft_token_loss,
    token_attribute_loss,
    token_losses,
    true_masks,
)
from mdetr_training.matcher import Matches, Others, Targets, match, match_others
from mdetr_training.network import Outputs


def targets(boxes: list, positive: list, valid: list) -> Targets:
    return Targets(torch.tensor(boxes), torch.tensor(positive), torch.tensor(valid))


def one_match(query: int) -> Matches:
    return Matches(torch.tensor([0]), torch.tensor([query]), torch.tensor([0]))


def test_queries_that_are_left_are_matched_with_what_is_not_named():
    boxes = torch.tensor([[[0.2, 0.2, 0.1, 0.1], [0.21, 0.2, 0.1, 0.1], [0.8, 0.8, 0.1, 0.1]]])
    others = Others(
        torch.tensor([[[0.2, 0.2, 0.1, 0.1], [0.8, 0.8, 0.1, 0.1], [0.0] * 4]]),
        torch.tensor([[4, 1, -1]]),
    )
    found = match_others(boxes, one_match(0), others)
    assert found.query.tolist() == [1, 2] and found.target.tolist() == [0, 1]
    # More objects than queries: none has one that is taken.
    found = match_others(boxes[:, :1], one_match(0), others)
    assert len(found.query) == 0


def test_what_is_not_named_has_a_box_and_is_there():
    """Of three queries one has the named object, one another, which is not quite there yet."""
    logits = torch.zeros(2, 1, 3, 3)
    logits[:, 0, 0, 1] = 9.0
    logits[:, 0, 1:, 2] = 9.0
    boxes = torch.tensor([[[0.2, 0.2, 0.1, 0.1], [0.6, 0.5, 0.1, 0.1], [0.1, 0.9, 0.1, 0.1]]])
    outputs = Outputs(
        logits=logits,
        boxes=boxes.expand(2, -1, -1, -1),
        query_embeddings=None,
        text_embeddings=None,
        token_logits=None,
        token_boxes=None,
        presence=torch.tensor([[2.0, 0.0, -2.0]]),
    )
    truth = targets([[[0.2, 0.2, 0.1, 0.1]]], [[[False, True]]], [[True]])
    truth.others = Others(torch.tensor([[[0.5, 0.5, 0.1, 0.1]]]), torch.tensor([[3]]))
    matches = present_matches(outputs, truth)[1]
    found = others_losses(outputs, truth, matches, LossConfig(others=2.0))
    assert float(found["others_bbox"]) == pytest.approx(2 * 5 * 0.1)
    # They touch: the union is as large as the hull.
    assert float(found["others_giou"]) == pytest.approx(2 * 2 * 1.0, abs=1e-4)
    expected = 2 * (2 * math.log(1 + math.exp(-2)) + math.log(2)) / 3
    assert float(found["presence"]) == pytest.approx(expected)


def test_iou_and_giou():
    a = torch.tensor([0.0, 0.0, 2.0, 2.0])
    iou, giou = iou_and_giou(a, torch.tensor([1.0, 0.0, 3.0, 2.0]))
    assert iou == pytest.approx(2 / 6) and giou == pytest.approx(2 / 6)
    iou, giou = iou_and_giou(a, torch.tensor([3.0, 0.0, 4.0, 2.0]))
    assert iou == 0 and giou == pytest.approx(-(8 - 6) / 8)


def test_cxcywh_to_xyxy():
    box = cxcywh_to_xyxy(torch.tensor([0.5, 0.4, 0.2, 0.6]))
    torch.testing.assert_close(box, torch.tensor([0.4, 0.1, 0.6, 0.7]))


def test_attribute_loss():
    logits = torch.zeros(1, 2, 5)
    logits[0, 1] = torch.tensor([math.log(3.0), 0.0, 9.0, 0.0, math.log(4.0)])
    matched = Matches(torch.tensor([0]), torch.tensor([1]), torch.tensor([0]))
    attributes = torch.tensor([[[0, 1]]])
    # Of the first two classes the first has 3/4, of the last two the second has 4/5; the third
    # class is in no group.
    loss = attribute_loss(logits, matched, attributes, [[0, 1], [3, 4]])
    assert loss == pytest.approx((math.log(4 / 3) + math.log(5 / 4)) / 2)
    cells = torch.tensor([[0, 1]])
    same = token_attribute_loss(logits, cells, attributes, [[0, 1], [3, 4]])
    assert same == pytest.approx(float(loss))
    # What nobody could tell does not count.
    untold = attribute_loss(logits, matched, torch.tensor([[[0, -1]]]), [[0, 1], [3, 4]])
    assert untold == pytest.approx(math.log(4 / 3))
    nothing = Matches(*(torch.zeros(0, dtype=torch.long) for _ in range(3)))
    assert attribute_loss(logits, nothing, attributes, [[0, 1], [3, 4]]) == 0


def test_attribute_groups():
    known = {"size": ["small", "large"], "colour": ["red", "blue"]}
    assert attribute_groups(["red", "small", "blue", "large"], known) == [[1, 3], [0, 2]]
    assert attribute_groups(["small", "large", "red"], known) is None


def test_match_is_exact_where_greedy_is_not():
    truth = targets(
        [[[0.30, 0.5, 0.1, 0.1], [0.40, 0.5, 0.1, 0.1]]],
        [[[True], [True]]],
        [[True, True]],
    )
    predicted = torch.tensor([[[0.34, 0.5, 0.1, 0.1], [0.46, 0.5, 0.1, 0.1], [0.9, 0.9, 0.1, 0.1]]])
    found = match(torch.zeros(1, 3, 4), predicted, truth)
    pairs = sorted(zip(found.target.tolist(), found.query.tolist(), strict=True))
    assert pairs == [(0, 0), (1, 1)]


def test_match_ignores_padding():
    truth = targets(
        [[[0.5, 0.5, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1]]], [[[True], [True]]], [[False, True]]
    )
    found = match(torch.zeros(1, 3, 4), torch.rand(1, 3, 4), truth)
    assert found.target.tolist() == [1]


def test_soft_token_loss():
    truth = targets([[[0.5, 0.5, 0.1, 0.1]]], [[[False, True, True]]], [[True]])
    logits = torch.log(torch.tensor([[[0.1, 0.3, 0.4, 0.2], [0.1, 0.1, 0.3, 0.5]]]))
    loss = soft_token_loss(logits, one_match(0), truth, eos_coef=0.1)
    assert loss == pytest.approx(-math.log(0.3) - math.log(0.4) - 0.1 * math.log(0.5), rel=1e-5)


def test_soft_token_loss_without_objects():
    truth = targets([[[0.0] * 4]], [[[False, False]]], [[False]])
    none = torch.zeros(0, dtype=torch.long)
    loss = soft_token_loss(torch.zeros(1, 2, 4), Matches(none, none, none), truth, eos_coef=0.1)
    assert loss == pytest.approx(2 * 0.1 * math.log(4), rel=1e-5)


def test_box_losses():
    a = torch.tensor([[0.5, 0.5, 0.2, 0.2]])
    l1, giou = box_losses(a, torch.tensor([[0.6, 0.5, 0.2, 0.2]]), num_boxes=2)
    assert l1 == pytest.approx(0.05) and giou == pytest.approx((1 - 1 / 3) / 2, rel=1e-5)


def test_contrastive_align_loss():
    queries = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    tokens = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    truth = targets([[[0.5] * 4]], [[[True, False]]], [[True]])
    t = 0.5
    loss = contrastive_align_loss(queries, tokens, one_match(0), truth, t)
    one_way = math.log(math.exp(1 / t) + 1) - (1 / t) / (1 + 1e-6)
    assert loss == pytest.approx(one_way, rel=1e-5)


def outputs(logits: torch.Tensor, boxes: torch.Tensor) -> Outputs:
    unit = torch.nn.functional.normalize(torch.ones(1, logits.shape[2], 2), dim=-1)
    return Outputs(
        logits=logits,
        boxes=boxes,
        query_embeddings=unit[None].expand(logits.shape[0], -1, -1, -1),
        text_embeddings=unit[:, :2],
        token_logits=logits[0],
        token_boxes=boxes[0],
    )


def test_detection_losses_sum_over_layers():
    truth = targets([[[0.5, 0.5, 0.2, 0.2]]], [[[False, True]]], [[True]])
    layer = torch.randn(1, 1, 3, 4), torch.rand(1, 1, 3, 4)
    one = detection_losses(outputs(*layer), truth, LossConfig())
    two = detection_losses(outputs(*(torch.cat([x, x]) for x in layer)), truth, LossConfig())
    assert set(one) == {"ce", "bbox", "giou", "contrastive_align"}
    for name, value in one.items():
        assert two[name] == pytest.approx(2 * float(value), rel=1e-5)


def test_the_last_layer_alone():
    truth = targets([[[0.5, 0.5, 0.2, 0.2]]], [[[False, True]]], [[True]])
    found = outputs(torch.randn(3, 1, 3, 4), torch.rand(3, 1, 3, 4))
    one = detection_losses(found, truth, LossConfig(aux=False))
    assert one == layer_losses(found, 2, truth, LossConfig())


def test_what_weighs_nothing_has_no_gradient():
    """Not even one of zeros, which weight decay would act on."""
    truth = targets([[[0.5, 0.5, 0.2, 0.2]]], [[[False, True]]], [[True]])
    logits = torch.randn(1, 1, 3, 4, requires_grad=True)
    boxes = torch.rand(1, 1, 3, 4, requires_grad=True)
    found = layer_losses(outputs(logits, boxes), 0, truth, LossConfig(ce=0, contrastive_align=0))
    assert set(found) == {"bbox", "giou"}
    sum(found.values()).backward()
    assert logits.grad is None and boxes.grad is not None


def test_without_contrastive_heads():
    truth = targets([[[0.5, 0.5, 0.2, 0.2]]], [[[False, True]]], [[True]])
    found = outputs(torch.randn(1, 1, 3, 4), torch.rand(1, 1, 3, 4))
    found.query_embeddings = found.text_embeddings = None
    assert set(detection_losses(found, truth, LossConfig())) == {"ce", "bbox", "giou"}


def test_losses_are_divided_by_the_objects_of_the_whole_step():
    truth = targets([[[0.5, 0.5, 0.2, 0.2]]], [[[False, True]]], [[True]])
    found = outputs(torch.randn(1, 1, 3, 4), torch.rand(1, 1, 3, 4))
    alone = detection_losses(found, truth, LossConfig())
    truth.count = 2.5
    for name, value in detection_losses(found, truth, LossConfig()).items():
        assert float(value) == pytest.approx(float(alone[name]) / 2.5)
    truth.count = 0.5
    assert truth.num_boxes == 1


def test_final_loss():
    """Two objects, the second of which the caption is about."""
    truth = targets([[[0.5] * 4] * 2], [[[True]] * 2], [[True, True]])
    truth.final = torch.tensor([[0.0, 1.0]])
    m = Matches(torch.tensor([0, 0]), torch.tensor([2, 0]), torch.tensor([0, 1]))
    logits = torch.tensor([[math.log(3.0), 7.0, math.log(4.0)]])
    expected = -(math.log(3 / 4) + math.log(1 / 5)) / 2
    assert final_loss(logits, m, truth).item() == pytest.approx(expected, rel=1e-5)
    truth.final = None
    with pytest.raises(ValueError, match=r"loss\.final: expected data that says"):
        final_loss(logits, m, truth)


@pytest.mark.parametrize("most", [0, 2])
def test_a_batch_without_objects(most: int):
    """Only "no object" is learnt, and boxes have gradients of zeros, as in the official code."""
    truth = Targets(
        boxes=torch.zeros(1, most, 4),
        positive=torch.zeros(1, most, 2, dtype=torch.bool),
        valid=torch.zeros(1, most, dtype=torch.bool),
        final=torch.zeros(1, most),
    )
    logits = torch.randn(2, 1, 3, 4, requires_grad=True)
    boxes = torch.rand(2, 1, 3, 4, requires_grad=True)
    found = outputs(logits, boxes)
    found.final = torch.zeros(2, 1, 3, requires_grad=True)
    losses = detection_losses(found, truth, LossConfig())
    expected = -0.1 * logits.detach().log_softmax(-1)[..., -1].sum()
    assert losses.pop("ce").item() == pytest.approx(float(expected), rel=1e-5)
    assert {name: value.item() for name, value in losses.items()} == {
        "bbox": 0,
        "giou": 0,
        "contrastive_align": 0,
        "final": 0,
    }
    sum(losses.values()).backward()
    assert not boxes.grad.any() and not found.final.grad.any()


def test_tokens_beyond_the_slots():
    truth = targets([[[0.5] * 4]], [[[False, True, True]]], [[True]])
    assert truth.soft_tokens(2).tolist() == [[[0.0, 1.0]]]
    assert truth.soft_tokens(4).tolist() == [[[0.0, 1.0, 1.0, 0.0]]]


def test_masks_without_a_renderer():
    truth = targets([[[0.5] * 4] * 2], [[[True]] * 2], [[True, True]])
    truth.masks = torch.tensor([[[[True, False]], [[False, True]]]])
    ids = torch.zeros(1, 1, dtype=torch.long)
    batch = Batch(torch.zeros(1, 3, 1, 2), ids, ids, truth, captions=[])
    assert matched_masks(batch, one_match(0)).tolist() == [[[1.0, 0.0]]]
    truth.masks = None
    with pytest.raises(ValueError, match=r"masks: expected data with"):
        matched_masks(batch, one_match(0))


def test_token_losses():
    """Two tokens on an object that the caption names, one on another object, one on none."""
    truth = targets([[[0.5, 0.5, 0.2, 0.2]]], [[[False, True]]], [[True]])
    logits = torch.zeros(1, 1, 4, 4)
    boxes = torch.tensor([[[[0.5, 0.5, 0.2, 0.2]] * 2 + [[0.1, 0.1, 0.2, 0.2]] * 2]])
    found = token_losses(
        outputs(logits, boxes),
        cells=torch.tensor([[1, 1, 2, 0]]),
        boxes=torch.tensor([[[0.5, 0.5, 0.2, 0.2], [0.2, 0.1, 0.2, 0.2]]]),
        objects=torch.tensor([[0, -1]]),
        targets=truth,
        c=LossConfig(tokens=1.0, eos_coef=0.1),
    )
    assert found["token_ce"] == pytest.approx(math.log(4), rel=1e-5)
    assert found["token_bbox"] == pytest.approx(5 * 0.1 / 3, rel=1e-4)
    assert found["token_giou"] == pytest.approx(2 * (2 / 3) / 3, rel=1e-4)


def test_answer_losses():
    """Each head over the captions that ask it; the third caption asks none."""
    log = torch.tensor([[0.2, 0.3, 0.5], [0.6, 0.1, 0.3], [0.1, 0.1, 0.8]]).log()
    trained = log.clone().requires_grad_()
    logits = {
        "type": trained,
        "binary": torch.tensor([[2.0], [0.5], [0.5]]),
        "reg": log,
        "attr": log,
    }
    targets = {
        "type": torch.tensor([0, 1, -1]),
        "binary": torch.tensor([0, -1, -1]),
        "reg": torch.tensor([-1, -1, -1]),
        "attr": torch.tensor([-1, 2, -1]),
    }
    found = {k: v.item() for k, v in answer_losses(logits, targets, weight=2.0).items()}
    assert found["qa_type"] == pytest.approx(-math.log(0.2) - math.log(0.1), rel=1e-5)
    assert found["qa_binary"] == pytest.approx(2 * math.log(1 + math.exp(2.0)), rel=1e-5)
    assert found["qa_attr"] == pytest.approx(-2 * math.log(0.3), rel=1e-5)
    assert found["qa_reg"] == 0
    heavier = answer_losses(logits, targets, weight=2.0, type_weight=3.0)
    assert heavier["qa_type"].item() == pytest.approx(3 * found["qa_type"], rel=1e-5)
    assert heavier["qa_attr"].item() == pytest.approx(found["qa_attr"], rel=1e-5)
    none = {head: torch.full((3,), -1) for head in targets}
    total = sum(answer_losses(logits, none, 1.0).values())
    total.backward()
    assert total == 0 and not trained.grad.any()


def test_read_attributes_loss():
    """Two decoder layers; one question about one object, one that compares two, one of neither."""
    p = torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.3, 0.6], [1.0, 1e-9, 1e-9]])
    logits = torch.stack([p, p.flip(1)]).log()
    values = torch.tensor([[1, 1], [0, 2], [-1, -1]])
    expected = -(math.log(0.25) + (math.log(0.1) + math.log(0.6)) / 2) / 2
    assert read_attributes_loss(logits, values).item() == pytest.approx(expected, rel=1e-5)
    assert read_attributes_loss(logits, torch.full((3, 2), -1)) == 0


def test_an_answer_needs_its_type_and_its_class():
    logits = {
        "type": torch.tensor([[1.0, 0, 0], [1.0, 0, 0], [0, 1.0, 0], [0, 1.0, 0]]),
        "binary": torch.tensor([[0.1], [-0.1], [3.0], [3.0]]),
        "attr": torch.tensor([[0, 1.0], [0, 1.0], [0, 1.0], [0, 1.0]]),
    }
    targets = {
        "type": torch.tensor([0, 0, 1, 0]),
        "binary": torch.tensor([1, 1, -1, 1]),
        "attr": torch.tensor([-1, -1, 1, -1]),
    }
    assert answered(logits, targets).tolist() == [True, False, True, False]


def test_mask_losses():
    """Two masks of two pixels each; p is 0.8 and 0.5, then 0.5 twice."""
    logits = torch.tensor([[[math.log(4.0), 0.0]], [[0.0, 0.0]]])
    truth = torch.tensor([[[1.0, 0.0]], [[1.0, 1.0]]])
    focal, dice = mask_losses(logits, truth, num_boxes=4)
    hit = 0.25 * 0.2**2 * -math.log(0.8)
    unsure = 0.5**2 * math.log(2)
    expected = (hit + 0.75 * unsure) / 2 + (0.25 * unsure + 0.25 * unsure) / 2
    assert focal == pytest.approx(expected / 4, rel=1e-5)
    first = 1 - (2 * 0.8 + 1) / (1.3 + 1 + 1)
    second = 1 - (2 * 1.0 + 1) / (1.0 + 2 + 1)
    assert dice == pytest.approx((first + second) / 4, rel=1e-5)


def test_mask_losses_enlarge_the_logits():
    """A row of 0 and 4 becomes 0, 1, 3, 4."""
    p = torch.tensor([0.0, 1.0, 3.0, 4.0]).sigmoid()
    truth = torch.tensor([[[0.0, 0.0, 1.0, 1.0]]])
    _, dice = mask_losses(torch.tensor([[[0.0, 4.0]]]), truth, num_boxes=1)
    assert dice == pytest.approx(float(1 - (2 * p[2:].sum() + 1) / (p.sum() + 3)), rel=1e-5)


def test_mask_losses_of_nothing():
    logits = torch.zeros(0, 2, 2, requires_grad=True)
    focal, dice = mask_losses(logits, torch.zeros(0, 4, 4), num_boxes=1)
    (focal + dice).backward()
    assert focal == 0 and dice == 0


def test_true_masks():
    m = Matches(torch.tensor([1, 2]), torch.tensor([3, 0]), torch.tensor([1, 0]))
    objects = torch.tensor([[-1, -1, -1], [1, -1, 0], [-1, -1, 0]])
    found = matched_objects(m, objects)
    assert found.tolist() == [0, 2]
    maps = torch.tensor([[[0, 1], [3, 3]]], dtype=torch.uint8)
    masks = true_masks(maps, torch.tensor([0, 0]), found)
    assert masks.tolist() == [[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 1.0]]]
