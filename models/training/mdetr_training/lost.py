"""What went out of sight, for sentences about what is hidden.

What a remembered instant shows and no later one, nor the present, is lost from sight. The few of
these that are surest are object queries too: with the box that they had last, moved as the camera
panned since, with what they did before, and with what is there now that may hide them. A layer
reads the sentence with that knowledge. "The ball that went behind the cylinder" is one of them.

Without remembered instants nothing is lost.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import NetworkConfig
from .past import (
    AGES,
    FACTS,
    Past,
    PastLayer,
    Trace,
    applied,
    each_its_own,
    encode_boxes,
    log_age,
)
from .transformer import MASKED

LEAST = 0.05
"""How sure it is at least that something is lost."""
WITNESSES = 16
"""Object queries of the past that are compared with those before them."""
FADING = 0.01
"""How much less an instant's are than those of the next one, so that of equals the latest come
first."""
NEAR = 2.0
"""How many times as wide and high as a lost object its surroundings are."""
PAIR = 7
"""What is known of what is lost beside what is there."""
NOTHING = 30.0
"""By how much all words are less likely where nothing is lost than what the words say: a score of
0 in any precision."""


@dataclass
class Candidates:
    """What may be lost of B captions, G at most, from K instants and Q queries."""

    place: Tensor
    """[B, G], K * Q places: which query of which instant it was seen last as."""
    score: Tensor
    """[B, G], 0 to 1, how sure it is that it was there and is not seen any more, greatest first."""
    hidden: Tensor
    """[B, G, d], what its query was then."""
    known: Tensor
    """[B, G, 64], by which it is known again."""
    boxes: Tensor
    """[B, G, 4], then."""
    age: Tensor
    """[B, G], how many seconds ago, 0 where nothing is lost."""
    instant: Tensor
    """[B, G, K], 1 for the instant and 0 for the others."""


def overlap(a: Tensor, b: Tensor, factor: float = 1.0) -> Tensor:
    """Parts [B, G, Q] of boxes [B, G, 4], cx cy w h, made so many times as wide and high, that
    boxes [B, Q, 4] cover."""
    ends = torch.minimum(far(a, factor)[:, :, None], far(b)[:, None])
    sides = (ends[..., :2] + ends[..., 2:]).clamp(min=0.0)
    area = (factor * a[..., 2:]).prod(-1, keepdim=True)
    return sides.prod(-1) / area.clamp(min=1e-5)


def far(boxes: Tensor, factor: float = 1.0) -> Tensor:
    """How far boxes [..., 4], cx cy w h, so many times as wide and high, reach [..., 4] to the
    left, up, right and down of the picture's corner: the least of two is that of their overlap."""
    half = 0.5 * factor
    sides = [
        [-1.0, 0.0, 1.0, 0.0],
        [0.0, -1.0, 0.0, 1.0],
        [half, 0.0, half, 0.0],
        [0.0, half, 0.0, half],
    ]
    return boxes @ boxes.new_tensor(sides)


def one_hot(place: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """[..., count] of places [...]."""
    return (place[..., None] == torch.arange(count, device=place.device)).to(dtype)


class Lost(nn.Module):
    """Object queries for what is not seen any more."""

    def __init__(self, c: NetworkConfig):
        super().__init__()
        d = c.d_model
        self.count = c.lost
        self.about = nn.Linear(len(AGES) + 3, d)
        self.pair = nn.Sequential(nn.Linear(PAIR, 32), nn.ReLU(), nn.Linear(32, 1))
        """Logit of being hidden by what is there."""
        self.hider = nn.Linear(d, d)
        self.displacement = nn.Sequential(nn.Linear(FACTS, d), nn.ReLU(), nn.Linear(d, d))
        self.layer = PastLayer(c)

    @torch.no_grad()
    def candidates(self, reads: Past, trace: Trace) -> Candidates:
        """What is lost of what the instants show in which the present was traced."""
        past, past_known, past_boxes = trace.past, trace.past_known, trace.past_boxes
        b, k, q, _ = past.shape
        there = reads.presence(past).float().sigmoid()[..., 0]
        kept = (trace.age > 0).to(there.dtype)
        now = (trace.present[:, None, :, None] * trace.share[..., 1:]).amax(2)
        gone = there * (1.0 - now) * kept[..., None]
        # What is lost was shown by later instants too, until it was: those speak first.
        order = torch.arange(k, device=past.device)
        later = (gone - FADING * order[None, :, None]).flatten(1)
        _, place = later.topk(min(WITNESSES, k * q), 1)
        chosen = one_hot(place, k * q, past.dtype)
        known, boxes = chosen @ past_known.flatten(1, 2), chosen @ past_boxes.flatten(1, 2)
        sure = (chosen @ gone.flatten(1)[..., None].to(past.dtype))[:, None]
        shown = sure * reads.was(known, boxes, past_known, past_boxes).softmax(-1)[..., 1:]
        after = ((place // q)[:, None] < order[None, :, None]).to(there.dtype)
        since = (shown * after[..., None]).amax(2)
        score, place = (gone * (1.0 - since)).flatten(1).topk(self.count, 1)
        # Products, as engines gather more slowly, and not all along every axis.
        chosen = one_hot(place, k * q, past.dtype)
        chosen = chosen * (score > LEAST).to(past.dtype)[..., None]
        instant = chosen.reshape(b, self.count, k, q).sum(-1)
        return Candidates(
            place=place,
            score=score,
            hidden=chosen @ past.flatten(1, 2),
            known=chosen.to(past_known.dtype) @ past_known.flatten(1, 2),
            boxes=chosen.to(past_boxes.dtype) @ past_boxes.flatten(1, 2),
            age=(instant.to(trace.age.dtype) @ trace.age[..., None])[..., 0],
            instant=instant.to(trace.age.dtype),
        )

    def forward(
        self,
        reads: Past,
        trace: Trace,
        objects: Tensor,
        text: Tensor,
        text_mask: Tensor,
    ) -> tuple[Tensor, Tensor, Candidates]:
        """[B, G, d] queries of what is lost, their boxes [B, G, 4], and what they are.

        objects: [B, Q, d] the present's object queries, which know the past; text as for
        `Past.forward`.
        """
        found = self.candidates(reads, trace)
        # As far as the camera panned: tilts, which are small, are estimated worse than none.
        panned = trace.turned * torch.tensor([1.0, 0.0], device=objects.device)
        turned = (found.instant @ panned[:, :, 0])[:, None]
        seen = (trace.present[:, None] * trace.found[..., 0]).amax((1, 2), keepdim=True)
        swept = applied(reads.shown_at(found.boxes), turned)[:, 0]
        centres = found.boxes[..., :2] + seen * swept
        boxes = torch.cat([centres, found.boxes[..., 2:]], -1)
        # What may hide it.
        covered, near = overlap(boxes, trace.boxes), overlap(boxes, trace.boxes, NEAR)
        # Not expanded: tract fails where a product would read that as a part of what is joined.
        present = trace.present[:, None] + torch.zeros_like(covered)
        size = boxes[:, :, None, 2:].clamp(min=1e-2)
        away = (trace.boxes[:, None, :, :2] - boxes[:, :, None, :2]) / size
        larger = (trace.boxes[:, None, :, 2:] / size).log()
        beside = torch.stack([covered, near, present], -1)
        pair = self.pair(torch.cat([beside, (away / 2.0).tanh(), larger.tanh()], -1))[..., 0]
        share = F.pad(pair + (present + 1e-4).log(), (1, 0)).softmax(-1)[..., 1:]
        about = torch.cat(
            [
                log_age(found.age).tanh(),
                found.score[..., None],
                share.sum(-1, keepdim=True),
                (covered * present).amax(-1, keepdim=True),
            ],
            -1,
        ).to(objects.dtype)
        x = found.hidden + self.about(about) + self.hider(share.to(objects.dtype) @ objects)
        # What it did before.
        logits = reads.was(found.known, found.boxes, trace.past_known, trace.past_boxes)
        share = logits.softmax(-1)[..., 1:]
        was = share.sum(-1, keepdim=True)
        moved = boxes[:, None] - share / was.clamp(min=1e-4) @ trace.past_boxes
        swept = applied(reads.shown_at(boxes), panned)
        aside = moved[..., :2] - seen[..., None] * swept
        facts = reads.facts(moved, aside, was, trace.age)
        own, own_mask = each_its_own(self.displacement(facts.to(objects.dtype)), trace.age)
        mask = ((1.0 - text_mask.to(own.dtype)) * MASKED)[:, None, None, :]
        place = encode_boxes(boxes, objects.shape[-1]).to(objects.dtype)
        return self.layer(x, place, own, own_mask, text, mask), boxes, found


def unless_nothing(logits: Tensor, found: Candidates) -> Tensor:
    """Logits [B, G, C] of what is lost, with "no object" where nothing is."""
    nothing = NOTHING * (found.age <= 0).to(logits.dtype)[..., None]
    return torch.cat([logits[..., :-1] - nothing, logits[..., -1:] + nothing], -1)
