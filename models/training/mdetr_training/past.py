"""What objects did in the past, for sentences about time.

A query is about something that moves, or stopped, only if its object was elsewhere before. For each
standing sentence the object queries of some past instants are remembered: their last hidden states
and boxes. Each object query of the present looks for itself in every remembered instant, by how
alike it is and how near. The turn of the camera that explains what most objects seem to have done,
those that the sentence does not name among them, is the camera's motion; from where an object was
beside it, and how long ago, follows what it did. Two further layers then read the sentence again,
with that knowledge.

Without remembered instants these layers see the present alone.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import NetworkConfig
from .position import encode_points
from .transformer import MASKED, Attention

LAYERS = 2
IDENTITY = 64
"""Width of the vectors by which an object is known again."""
AGES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4)
"""Seconds around which an instant's age is told apart."""
SPEEDS = (1.0, 4.0, 16.0)
"""Scales at which displacements, in parts of the picture, are seen: small ones are enlarged until
they saturate."""
START_SCALE, START_DISTANCE = 8.0, 4.0
"""Of likeness and of distance in the logits of where an object was, before training."""
START_SLANT = (0.8, 0.45)
"""1 / f² and 1 / (f r)², at a focal length f of 1.1 widths and a width r of 4/3 heights."""
START_ROLL = (-0.49, 0.87)
"""-tan(p) / r and tan(p) r, for a camera that looks down by p = 33 degrees."""
START_AGREEMENT = 600.0
"""Of the distance from how others moved in the logits of what is the camera's motion, before
training."""


FACTS = (4 * 2 + 2 * 3) * len(SPEEDS) + len(AGES) + 2
"""How much is known of what an object did since an instant."""
CERTAIN = 20.0
"""Its hyperbolic tangent is 1 in single precision."""
FOUND, BOTH, ALWAYS = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]
GATES = [
    *[FOUND] * 8 * len(SPEEDS),
    *[ALWAYS] * len(AGES),
    FOUND,
    *[*[FOUND] * 4, *[BOTH] * 2] * len(SPEEDS),
    BOTH,
]
"""[FACTS, 3], whether a fact counts as much as the object was found then, as much as it was at
this instant and the one before it, or always."""


def log_age(age: Tensor) -> Tensor:
    """[...] seconds to [..., 7]: how far past each of AGES it is, on a logarithmic scale."""
    ages = torch.tensor(AGES, device=age.device, dtype=age.dtype)
    return 2.0 * (age.clamp(min=1e-3)[..., None] / ages).log()


def encode_boxes(boxes: Tensor, width: int) -> Tensor:
    """Boxes [..., 4], cx cy w h, to the position encoding [..., width] of their centres."""
    return encode_points(boxes[..., 1], boxes[..., 0], width)


def distances(here: Tensor, there: Tensor) -> Tensor:
    """L1 distances [..., Q, P] of vectors [..., Q, c] and [..., P, c]."""
    here, there = here.transpose(-1, -2), there.transpose(-1, -2)
    return (here[..., None] - there[..., None, :]).abs().sum(-3)


def each_its_own(known: Tensor, age: Tensor) -> tuple[Tensor, Tensor]:
    """What is known of each object at each instant, [B, K, Q, d], as `PastLayer` takes it, with its
    mask; age [B, K], 0 or less where there is no instant."""
    b, _, q, _ = known.shape
    own = F.pad(known.transpose(1, 2).flatten(0, 1), (0, 0, 1, 0))
    none = F.pad(MASKED * (age <= 0).to(own.dtype), (1, 0))
    return own, none[:, None].expand(-1, q, -1).reshape(b * q, -1)


# Matrices of two rows are written as [..., 4], row by row: engines are quicker with products by
# these than with many small axes, and ONNX has no operator that solves.
EACH = [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]
"""A vector, once for each row."""
SUMS = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
"""The sum of each row."""
ADJUGATE = [
    [0.0, 0.0, 0.0, 1.0],
    [0.0, -1.0, 0.0, 0.0],
    [0.0, 0.0, -1.0, 0.0],
    [1.0, 0.0, 0.0, 0.0],
]
"""Of a matrix."""
COFACTORS = [ADJUGATE[0], ADJUGATE[2], ADJUGATE[1], ADJUGATE[3]]
"""Of a matrix: their products with its entries add up to twice its determinant."""


def applied(matrices: Tensor, vectors: Tensor) -> Tensor:
    """The products [..., 2] of matrices [..., 4] and vectors [..., 2]."""
    return matrices * (vectors @ vectors.new_tensor(EACH)) @ vectors.new_tensor(SUMS)


def solved(matrices: Tensor, products: Tensor) -> Tensor:
    """The vectors of which the matrices, with positive determinants, make these."""
    twice = (matrices * (matrices @ matrices.new_tensor(COFACTORS))).sum(-1, keepdim=True)
    adjugates = matrices @ matrices.new_tensor(ADJUGATE)
    return applied(adjugates, products) / (0.5 * twice).clamp(min=0.1)


class Turn(nn.Module):
    """What is seen of a camera that pans and tilts.

    What stands in the picture's middle moves straight; what stands beside it moves further, as
    lines of sight meet the picture aslant, and, as cameras look down and pan about the vertical,
    also turns about the middle.
    """

    def __init__(self):
        super().__init__()
        self.slant = nn.Parameter(torch.tensor(START_SLANT))
        """Of the square of a place's distance from the middle in each axis."""
        self.roll = nn.Parameter(torch.tensor(START_ROLL))
        """Of a place below the middle to the right, and of one beside it down, for a pan."""

    def shown_at(self, places: Tensor) -> Tensor:
        """Matrices [..., 4] of what is seen at places [..., 2] from the middle, in picture widths
        and heights, of a pan and a tilt that move what is in the middle by one."""
        straight, rows = places.new_tensor([1.0, 0.0, 0.0, 1.0]), places.new_tensor(SUMS).T
        squares = (places @ rows) * (places @ places.new_tensor(EACH))
        rolled = places @ places.new_tensor([[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
        return straight + squares * self.slant.repeat(2) + rolled * self.roll.repeat_interleave(2)


@dataclass
class Trace:
    """Where the objects of B captions' Q queries were at K instants."""

    boxes: Tensor
    """[B, Q, 4], now."""
    present: Tensor
    """[B, Q], 0 to 1, whether a query has an object, whether the sentence names it or not."""
    past: Tensor
    """[B, K, Q, d], the object queries' hidden states then."""
    past_known: Tensor
    """[B, K, Q, 64], by which they are known again."""
    past_boxes: Tensor
    """[B, K, Q, 4], then."""
    age: Tensor
    """[B, K], seconds, 0 or less where there is no instant."""
    logits: Tensor
    """[B, K, Q, 1 + Q], as `Past.was`."""
    share: Tensor
    """The same as probabilities."""
    found: Tensor
    """[B, K, Q, 1], whether an object was anywhere."""
    known: Tensor
    """[B, K, Q, Q], which query it was, if it was found."""
    moved: Tensor
    """[B, K, Q, 4], how its box differs now."""
    turned: Tensor
    """[B, K, 1, 2], how far the camera turned since, in what is seen in the picture's middle."""
    aside: Tensor
    """[B, K, Q, 2], how far an object moved itself."""


class PastLayer(nn.Module):
    """Post-norm attention to an object's own past, among objects, to the text; feed-forward."""

    def __init__(self, c: NetworkConfig):
        super().__init__()
        d = c.d_model
        self.past_attn = Attention(d, c.heads, c.dropout)
        self.self_attn = Attention(d, c.heads, c.dropout)
        self.text_attn = Attention(d, c.heads, c.dropout)
        self.linear1 = nn.Linear(d, c.ffn)
        self.linear2 = nn.Linear(c.ffn, d)
        self.norms = nn.ModuleList(nn.LayerNorm(d) for _ in range(4))
        self.drop = nn.Dropout(c.dropout)
        for last in (self.past_attn, self.self_attn, self.text_attn):
            nn.init.zeros_(last.out_proj.weight)
        nn.init.zeros_(self.linear2.weight)
        nn.init.zeros_(self.linear2.bias)

    def forward(
        self, x: Tensor, place: Tensor, own: Tensor, own_mask: Tensor, text: Tensor, mask: Tensor
    ) -> Tensor:
        """x and place [B, Q, d]; own [B * Q, 1 + K, d], an object's past, its first entry empty,
        with the additive mask [B * Q, 1 + K]; text [B, L, d] with its mask [B, 1, 1, L]."""
        x = self._add(0, x, self.past_attn.to_own(x.flatten(0, 1), own, own_mask).view_as(x))
        at = x + place
        x = self._add(1, x, self.self_attn(at, at, at, None))
        x = self._add(2, x, self.text_attn(x, text, text, mask))
        return self._add(3, x, self.linear2(self.drop(F.relu(self.linear1(x)))))

    def _add(self, norm: int, x: Tensor, change: Tensor) -> Tensor:
        return self.norms[norm](x + self.drop(change))


class Past(nn.Module):
    """Object queries that know what their objects did.

    K instants of the past are remembered at most, newest first; of each its age in seconds, 0 or
    less where there is none, and the Q object queries' hidden states and boxes.
    """

    def __init__(self, c: NetworkConfig):
        super().__init__()
        d = c.d_model
        self.identity = nn.Linear(d, IDENTITY)
        self.presence = nn.Linear(d, 1)
        """Logit of having an object, whether the sentence names it or not."""
        self.likeness = nn.Parameter(torch.tensor(START_SCALE))
        self.distance = nn.Parameter(torch.tensor(START_DISTANCE))
        self.gone = nn.Parameter(torch.tensor(0.0))
        """Logit of having been nowhere."""
        self.turn = Turn()
        self.agreement = nn.Parameter(torch.tensor(START_AGREEMENT))
        self.displacement = nn.Sequential(nn.Linear(FACTS, d), nn.ReLU(), nn.Linear(d, d))
        self.before = nn.Linear(d, d)
        self.layers = nn.ModuleList(PastLayer(c) for _ in range(LAYERS))

    def known(self, hidden: Tensor) -> Tensor:
        """Unit vectors [..., Q, 64] by which the objects of queries [..., Q, d] are known again."""
        vectors = self.identity(hidden).float()
        return vectors * (vectors.square().sum(-1, keepdim=True) + 1e-12).rsqrt()

    def was(self, known: Tensor, boxes: Tensor, past_known: Tensor, past_boxes: Tensor) -> Tensor:
        """Logits [B, K, Q, 1 + Q] of which query of each instant showed the same object, the first,
        0, for none: known [B, Q, 64], boxes [B, Q, 4], past_known [B, K, Q, 64], past_boxes
        [B, K, Q, 4]."""
        alike = known[:, None] @ past_known.transpose(-1, -2)
        apart = distances(boxes[:, None], past_boxes)
        return F.pad(self.likeness * alike - self.distance * apart - self.gone, (1, 0))

    def camera(self, shown: Tensor, moved: Tensor, found: Tensor) -> Tensor:
        """[B, K, 1, 2], the turn of the camera since each instant that explains what most of the
        objects that were found [B, K, Q, 1] did, of displacements [B, K, Q, 2] to boxes where
        turns are `shown_at` so."""
        turned = solved(shown, moved)
        apart = (distances(turned, turned) @ found) / (found.sum(2, keepdim=True) + 1e-4)
        share = ((found + 1e-4).log() - self.agreement * apart).softmax(2)
        return (share * turned).sum(2, keepdim=True)

    def shown_at(self, boxes: Tensor) -> Tensor:
        """As `Turn.shown_at`, [B, 1, Q, 4] for boxes [B, Q, 4]."""
        return self.turn.shown_at((boxes[..., :2] - 0.5)[:, None])

    def trace(
        self, hidden: Tensor, boxes: Tensor, past: Tensor, past_boxes: Tensor, past_age: Tensor
    ) -> Trace:
        """Of object queries [B, Q, d] with boxes [B, Q, 4]; the past as for `forward`."""
        past_known = self.known(past)
        logits = self.was(self.known(hidden), boxes, past_known, past_boxes)
        share = logits.softmax(-1)
        there = share[..., 1:]
        found = there.sum(-1, keepdim=True)
        known = there / found.clamp(min=1e-4)
        present = self.presence(hidden).float().sigmoid()[..., 0]
        moved = boxes[:, None] - known @ past_boxes
        shown = self.shown_at(boxes)
        turned = self.camera(shown, moved[..., :2], present[:, None, :, None] * found)
        aside = moved[..., :2] - applied(shown, turned)
        return Trace(
            boxes=boxes,
            present=present,
            past=past,
            past_known=past_known,
            past_boxes=past_boxes,
            age=past_age,
            logits=logits,
            share=share,
            found=found,
            known=known,
            moved=moved,
            turned=turned,
            aside=aside,
        )

    def facts(self, moved: Tensor, aside: Tensor, found: Tensor, past_age: Tensor) -> Tensor:
        """What is known [B, K, Q, FACTS] of each object and instant, from how its box differs now
        [B, K, Q, 4], how far it moved itself [B, K, Q, 2], whether it was found then
        [B, K, Q, 1], and the instants' ages [B, K]."""
        age = past_age[:, :, None, None]
        # Between an instant and the one before it.
        earlier = F.pad(torch.cat([aside, found], -1), (0, 0, 0, 0, 0, 1))[:, 1:]
        earlier_age = F.pad(age, (0, 0, 0, 0, 0, 1))[:, 1:]
        both = (earlier_age > 0).to(found.dtype) * found * earlier[..., 2:]
        velocity = (earlier[..., :2] - aside) / (earlier_age - age).clamp(min=0.05)
        lasted = age.clamp(min=0.05)
        seen = torch.cat([4.0 * moved, moved / lasted], -1)
        beside = torch.cat([4.0 * aside, aside / lasted, velocity], -1)
        none = torch.zeros_like(found)
        known = torch.cat(
            [
                *(scale * seen for scale in SPEEDS),
                log_age(age[..., 0]) + none,
                CERTAIN + none,
                *(scale * beside for scale in SPEEDS),
                CERTAIN + none,
            ],
            -1,
        )
        gates = torch.tensor(GATES, device=found.device, dtype=found.dtype)
        return known.tanh() * (torch.cat([found, both, 1.0 + none], -1) @ gates.T)

    def forward(
        self,
        hidden: Tensor,
        boxes: Tensor,
        text: Tensor,
        text_mask: Tensor,
        past: Tensor,
        past_boxes: Tensor,
        past_age: Tensor,
    ) -> tuple[Tensor, Trace]:
        """[B, Q, d] object queries, and where their objects were.

        hidden [B, Q, d] and boxes [B, Q, 4] of the present, text memory [B, L, d] after the encoder
        and its mask [B, L], 1 for a token; past [B, K, Q, d], past_boxes [B, K, Q, 4], past_age
        [B, K].
        """
        trace = self.trace(hidden, boxes, past, past_boxes, past_age)
        facts = self.facts(trace.moved, trace.aside, trace.found, past_age)
        own = self.displacement(facts.to(hidden.dtype))
        own = own + self.before(trace.known.to(hidden.dtype) @ past)
        own, own_mask = each_its_own(own, past_age)
        mask = ((1.0 - text_mask.to(own.dtype)) * MASKED)[:, None, None, :]
        place = encode_boxes(boxes, hidden.shape[-1]).to(hidden.dtype)
        x = hidden
        for layer in self.layers:
            x = layer(x, place, own, own_mask, text, mask)
        return x, trace
