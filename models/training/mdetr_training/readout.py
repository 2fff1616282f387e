"""Answers read from the objects that a question names.

A question of CLEVR's families is about the objects of one phrase ("how many red balls are behind
the cone?") or of two ("are there more balls than cubes?"). Each object query says whether it shows
something that no other shows, what attributes that has, and which of the question's phrases it
answers to. From these follow how many objects each phrase has, and which values their attributes
have; an answer query only has to choose which of the facts the question asks for.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .boxes import cxcywh_to_xyxy, iou_and_giou

PHRASES = 2
"""Phrases of a question: what it asks about, and what that is compared with or related to."""

SMALLEST = 1e-4
"""Probabilities are held this far from 0 and 1, so that no fact decides alone."""

SAME_OBJECT = 0.5
"""Intersection over union above which two boxes are on the same object."""


def count_distribution(probabilities: Tensor, counts: int) -> Tensor:
    """[..., counts], the probability that 0, 1, ... of independent events happen; probabilities
    [..., Q]. What lies at `counts` and beyond is left out."""
    each = probabilities.unsqueeze(-1).unbind(-2)
    none = torch.zeros_like(each[0])
    found = torch.cat([none + 1, none.expand(*none.shape[:-1], counts - 1)], -1)
    for p in each:
        found = found + p * (torch.cat([none, found[..., :-1]], -1) - found)
    return found


def log_odds(p: Tensor) -> Tensor:
    """Of probabilities, finite."""
    p = p.clamp(SMALLEST, 1 - SMALLEST)
    return p.log() - (1 - p).log()


def once(probabilities: Tensor, boxes: Tensor) -> Tensor:
    """Probabilities [B, Q] that a box [B, Q, 4] (cx cy w h) shows something, and is not the second
    on the same object: no box with a greater probability covers it."""
    corners = cxcywh_to_xyxy(boxes)
    iou, _ = iou_and_giou(corners[:, :, None], corners[:, None])
    covered = (iou > SAME_OBJECT) & (probabilities[:, None] > probabilities[:, :, None])
    free = 1 - covered.float() * probabilities[:, None]
    return probabilities * free.clamp(min=SMALLEST).log().sum(-1).exp()


class ObjectReadout(nn.Module):
    """What the object queries add to the logits of CLEVR's answer heads."""

    def __init__(self, d_model: int, groups: Sequence[Sequence[int]], counts: int):
        """`groups`: the classes of the attribute head that belong to each attribute; together they
        are all its classes."""
        super().__init__()
        self.groups = [list(classes) for classes in groups]
        grouped = [c for g in self.groups for c in g]
        self.places = [grouped.index(c) for c in range(len(grouped))]
        self.counts = counts
        self.register_buffer("more", torch.ones(counts, counts).tril(-1), persistent=False)
        self.presence = nn.Parameter(torch.tensor([1.0, 0.0]))
        """Scale and shift of an object's log-odds."""
        self.role = nn.Linear(d_model, PHRASES)
        self.choice = nn.Linear(d_model, 5 + len(self.groups))
        self.scale = nn.Parameter(torch.ones(3))
        """Of what is added for "binary", "attr" and "reg"."""

    def roles(self, objects: Tensor) -> Tensor:
        """Log-odds [..., Q, 2] that object queries [..., Q, d] answer to the first and to the
        second phrase of the question."""
        return self.role(objects)

    def forward(
        self, objects: Tensor, logits: Tensor, boxes: Tensor, attributes: Tensor, asking: Tensor
    ) -> dict[str, Tensor]:
        """By answer head, [B, classes].

        objects: [B, Q, d] the object queries; logits: [B, Q, C] of their tokens; boxes: [B, Q, 4],
        cx cy w h; attributes: [B, Q, K] of the attribute head on them; asking: [B, d], the answer
        query of "binary". Detection and attributes are taken as they are: no answer's gradient
        changes them.
        """
        logits, attributes = logits.detach().float(), attributes.detach().float()
        shown = logits[..., :-1].logsumexp(-1) - logits[..., -1]
        shown = (self.presence[0] * shown + self.presence[1]).sigmoid()
        shown = once(shown, boxes.detach().float())
        named = shown[..., None] * self.roles(objects).float().sigmoid()
        named = named.transpose(1, 2)
        counts = count_distribution(named, self.counts)
        first, second = counts[:, 0], counts[:, 1]
        share = named / named.sum(-1, keepdim=True).clamp(min=SMALLEST)
        values = [share @ attributes[..., g].softmax(-1) for g in self.groups]
        facts = [
            1 - first[:, :1],
            ((first @ self.more) * second).sum(-1, keepdim=True),
            ((second @ self.more) * first).sum(-1, keepdim=True),
            (first * second).sum(-1, keepdim=True),
            *((v[:, 0] * v[:, 1]).sum(-1, keepdim=True) for v in values),
        ]
        facts = log_odds(torch.cat(facts, -1))
        chosen = self.choice(asking).float().softmax(-1)
        binary = (chosen[:, 1:] * facts).sum(-1, keepdim=True)
        log_values = torch.cat([v[:, 0] for v in values], -1).clamp(min=SMALLEST).log()
        return {
            "binary": self.scale[0] * binary,
            "attr": self.scale[1] * log_values[:, self.places],
            "reg": self.scale[2] * first.clamp(min=SMALLEST).log(),
        }


def role_loss(roles: Tensor, truth: Tensor) -> Tensor:
    """Binary cross-entropy of log-odds [K, 2] of matched objects against truth [K, 2], 1 where the
    object answers to the phrase, 0 where not, -1 where the caption asks nothing; 0 if none does."""
    asked = truth >= 0
    found = F.binary_cross_entropy_with_logits(roles[asked], truth[asked].float(), reduction="sum")
    return found / max(int(asked.sum()), 1)
