"""Exact assignment of object queries to ground-truth objects."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from .boxes import cxcywh_to_xyxy, iou_and_giou

CLASS_COST, L1_COST, GIOU_COST = 1.0, 5.0, 2.0
TAKEN = 1e4
"""Cost of what is assigned already, above all others."""


@dataclass
class Others:
    """Objects that are there and not named by B captions, padded to O objects."""

    boxes: Tensor
    """[B, O, 4], relative cx cy w h."""
    objects: Tensor
    """[B, O], which of the picture's or the clip's objects each is, -1 of padding."""


@dataclass
class Hidden:
    """Objects that B captions name and that are not seen, padded to H objects and L text tokens."""

    objects: Tensor
    """[B, H], which of the clip's objects each is, -1 of padding."""
    positive: Tensor
    """[B, H, L] bool: the tokens that name each."""


@dataclass
class Targets:
    """Ground truth of B captions, padded to M objects and L text tokens."""

    boxes: Tensor
    """[B, M, 4], relative cx cy w h."""
    positive: Tensor
    """[B, M, L] bool: the tokens that name each object."""
    valid: Tensor
    """[B, M] bool: an object, not padding."""
    attributes: Tensor | None = None
    """[B, M, 4], each object's value of every attribute, in the order of `data.ATTRIBUTES`; of
    padding -1."""
    roles: Tensor | None = None
    """[B, M, 2], 1 where an object answers to the first and to the second phrase of a question, 0
    where it does not, -1 of captions that ask nothing and of padding."""
    final: Tensor | None = None
    """[B, M] float, 1 where an object is the one that a chain of references ends at, as
    CLEVR-Ref+'s `isfinal`; None where the data has none."""
    masks: Tensor | None = None
    """[B, M, H, W] bool, each object's pixels in the batch's pictures with their padding; None
    unless masks are asked for."""
    objects: Tensor | None = None
    """[B, M], which of a clip's objects each is, -1 of padding; None of single pictures."""
    known: Tensor | None = None
    """[B] bool, captions of which it is certain what they denote now; None: all."""
    early: "Targets | None" = None
    """The same objects for what knows no past: those that a sentence about time can be about; None:
    these too."""
    others: "Others | None" = None
    """The objects that the captions do not name; None where that is not known."""
    hidden: "Hidden | None" = None
    """What the captions name that is not seen; None where that is not known."""
    count: float | None = None
    """Objects that losses are divided by where a step averages the gradients of several processes
    or of the parts of an accumulated batch: the objects of them all over their number. None: those
    here."""

    @property
    def num_boxes(self) -> float:
        """What losses are divided by, 1 at least."""
        return max(float(self.valid.sum()) if self.count is None else self.count, 1.0)

    def soft_tokens(self, slots: int) -> Tensor:
        """[B, M, slots], multi-hot; tokens beyond the slots have none."""
        positive = self.positive[..., :slots].float()
        return F.pad(positive, (0, slots - positive.shape[-1]))


@dataclass
class Matches:
    """K matched pairs: batch index, query index and object index, each [K]."""

    batch: Tensor
    query: Tensor
    target: Tensor


@torch.no_grad()
def match(logits: Tensor, boxes: Tensor, targets: Targets) -> Matches:
    """Assign queries, logits [B, Q, C] and boxes [B, Q, 4], to objects at the least total cost."""
    probability = logits.softmax(-1)
    class_cost = -torch.einsum("bqc,bmc->bqm", probability, targets.soft_tokens(logits.shape[-1]))
    cost = CLASS_COST * class_cost + box_cost(boxes, targets.boxes)
    return assigned(cost, targets.valid)


@torch.no_grad()
def match_others(boxes: Tensor, taken: Matches, others: Others) -> Matches:
    """Assign the queries that are left, of boxes [B, Q, 4], to the objects that are not named."""
    cost = box_cost(boxes, others.boxes)
    cost[taken.batch, taken.query] = TAKEN
    found = assigned(cost, others.objects >= 0)
    free = cost[found.batch, found.query, found.target] < TAKEN
    return Matches(found.batch[free], found.query[free], found.target[free])


def box_cost(boxes: Tensor, truth: Tensor) -> Tensor:
    """[B, Q, M] of boxes [B, Q, 4] and [B, M, 4]."""
    l1_cost = (boxes[:, :, None] - truth[:, None]).abs().sum(-1)
    _, giou = iou_and_giou(cxcywh_to_xyxy(boxes)[:, :, None], cxcywh_to_xyxy(truth)[:, None])
    return L1_COST * l1_cost - GIOU_COST * giou


def assigned(costs: Tensor, wanted: Tensor) -> Matches:
    """The pairs of least total cost [B, Q, M] for the objects that are wanted [B, M]."""
    cost = costs.cpu().numpy()
    valid = wanted.cpu().numpy()
    batch, query, target = [], [], []
    for b in range(cost.shape[0]):
        objects = valid[b].nonzero()[0]
        if len(objects) == 0:
            continue
        rows, columns = linear_sum_assignment(cost[b][:, objects])
        batch += [b] * len(rows)
        query += rows.tolist()
        target += objects[columns].tolist()
    pairs = torch.tensor([batch, query, target], dtype=torch.long, device=costs.device)
    return Matches(*pairs)
