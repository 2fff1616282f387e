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


def encode_age(age: Tensor) -> Tensor:
    """[...] seconds to [..., 7]: how far past each of AGES it is."""
    ages = torch.tensor(AGES, device=age.device, dtype=age.dtype)
    return (2.0 * (age.clamp(min=1e-3)[..., None] / ages).log()).tanh()


def encode_boxes(boxes: Tensor, width: int) -> Tensor:
    """Boxes [..., 4], cx cy w h, to the position encoding [..., width] of their centres."""
    return encode_points(boxes[..., 1], boxes[..., 0], width)


def each_its_own(known: Tensor, age: Tensor) -> tuple[Tensor, Tensor]:
    """What is known of each object at each instant, [B, K, Q, d], as `PastLayer` takes it, with its
    mask; age [B, K], 0 or less where there is no instant."""
    b, _, q, _ = known.shape
    own = known.transpose(1, 2).flatten(0, 1)
    own = torch.cat([torch.zeros_like(own[:, :1]), own], 1)
    kept = (age > 0).to(own.dtype)
    kept = torch.cat([torch.ones_like(kept[:, :1]), kept], 1)
    return own, ((1.0 - kept) * MASKED)[:, None].expand(-1, q, -1).reshape(b * q, 1, 1, -1)


Columns = tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Of matrices: their two columns, each two values [...]. ONNX has no operator that solves."""


def applied(matrices: Columns, vectors: Tensor) -> Tensor:
    """The products [..., 2] of matrices and vectors."""
    (a, c), (b, d) = matrices
    x, y = vectors.unbind(-1)
    return torch.stack([a * x + b * y, c * x + d * y], -1)


def solved(matrices: Columns, products: Tensor) -> Tensor:
    """The vectors [..., 2] of which the matrices, with positive determinants, make these."""
    (a, c), (b, d) = matrices
    x, y = products.unbind(-1)
    scale = 1.0 / (a * d - b * c).clamp(min=0.1)
    return torch.stack([scale * (d * x - b * y), scale * (a * y - c * x)], -1)


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

    def shown_at(self, places: Tensor) -> Columns:
        """Displacements [...] at places [..., 2] from the middle, in picture widths and heights,
        for a pan and for a tilt that move what is in the middle by one."""
        x, y = places.unbind(-1)
        pan = 1.0 + self.slant[0] * x * x + self.roll[0] * y, (self.slant[0] * y + self.roll[1]) * x
        tilt = self.slant[1] * x * y, 1.0 + self.slant[1] * y * y
        return pan, tilt


@dataclass
class Trace:
    """Where the objects of B captions' Q queries were at K instants."""

    boxes: Tensor
    """[B, Q, 4], now."""
    present: Tensor
    """[B, Q], 0 to 1, whether a query has an object, whether the sentence names it or not."""
    past: Tensor
    """[B, K, Q, d], the object queries' hidden states then."""
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
        with the additive mask [B * Q, 1, 1, 1 + K]; text [B, L, d] with its mask [B, 1, 1, L]."""
        b, q, d = x.shape
        each = x.reshape(b * q, 1, d)
        x = self._add(0, x, self.past_attn(each, own, own, own_mask).reshape(b, q, d))
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

    def was(self, hidden: Tensor, boxes: Tensor, past: Tensor, past_boxes: Tensor) -> Tensor:
        """Logits [B, K, Q, 1 + Q] of which query of each instant showed the same object, the first
        for none: hidden [B, Q, d], boxes [B, Q, 4], past [B, K, Q, d], past_boxes [B, K, Q, 4]."""
        alike = self.known(hidden)[:, None] @ self.known(past).transpose(-1, -2)
        here, there = boxes[:, None, :, None], past_boxes[:, :, None]
        apart = (here - there).abs().sum(-1)
        logits = self.likeness * alike - self.distance * apart
        none = self.gone.expand(*logits.shape[:-1], 1)
        return torch.cat([none, logits], -1)

    def camera(self, shown: Columns, moved: Tensor, found: Tensor) -> Tensor:
        """[B, K, 1, 2], the turn of the camera since each instant that explains what most of the
        objects that were found [B, K, Q, 1] did, of displacements [B, K, Q, 2] to boxes where
        turns are `shown_at` so."""
        turned = solved(shown, moved)
        apart = (turned[:, :, :, None] - turned[:, :, None]).abs().sum(-1)
        apart = (apart @ found) / (found.sum(2, keepdim=True) + 1e-4)
        share = ((found + 1e-4).log() - self.agreement * apart).softmax(2)
        return (share * turned).sum(2, keepdim=True)

    def shown_at(self, boxes: Tensor) -> Columns:
        """As `Turn.shown_at`, [B, 1, Q] for boxes [B, Q, 4]."""
        return self.turn.shown_at((boxes[..., :2] - 0.5)[:, None])

    def trace(
        self, hidden: Tensor, boxes: Tensor, past: Tensor, past_boxes: Tensor, past_age: Tensor
    ) -> Trace:
        """Of object queries [B, Q, d] with boxes [B, Q, 4]; the past as for `forward`."""
        logits = self.was(hidden, boxes, past, past_boxes)
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
        age = past_age[:, :, None, None].expand(-1, -1, moved.shape[2], -1)
        # Between an instant and the one before it.
        earlier = torch.cat([aside[:, 1:], aside[:, -1:]], 1)
        earlier_age = torch.cat([age[:, 1:], torch.zeros_like(age[:, -1:])], 1)
        earlier_found = torch.cat([found[:, 1:], torch.zeros_like(found[:, -1:])], 1)
        both = (earlier_age > 0).to(found.dtype) * found * earlier_found
        velocity = (earlier - aside) / (earlier_age - age).clamp(min=0.05)
        lasted = age.clamp(min=0.05)
        seen = [(4.0 * moved, found), (moved / lasted, found)]
        beside = [(4.0 * aside, found), (aside / lasted, found), (velocity, both)]

        def at_scales(values: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
            return [weight * (scale * x).tanh() for scale in SPEEDS for x, weight in values]

        return torch.cat(
            [*at_scales(seen), encode_age(age[..., 0]), found, *at_scales(beside), both], -1
        )

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
