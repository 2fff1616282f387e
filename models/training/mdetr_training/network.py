"""The MDETR network. Parameter names follow the released checkpoints."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import answers
from . import backbone as backbones
from .config import NetworkConfig
from .data import ATTRIBUTES
from .decoded import Decoded
from .lost import Candidates, Lost, unless_nothing
from .past import Past, Trace
from .position import encode_points, padded_position, sine_position, token_padding
from .readout import ObjectReadout
from .remembered import Remembered
from .transformer import Transformer


class MLP(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, sizes: list[int]):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


@dataclass
class Outputs:
    """What training sees. D decoder layers, B captions, Q queries, N image tokens, L text tokens,
    C slots."""

    logits: Tensor
    """[D, B, Q, C], the last slot means "no object"."""
    boxes: Tensor
    """[D, B, Q, 4], relative cx cy w h."""
    query_embeddings: Tensor | None
    """[D, B, Q, contrastive], unit length; None without contrastive heads."""
    text_embeddings: Tensor | None
    """[B, L, contrastive], unit length; None without contrastive heads."""
    token_logits: Tensor | None = None
    """[B, N, C], the class head on the encoder's image tokens; None without those."""
    token_boxes: Tensor | None = None
    """[B, N, 4], the box head on the encoder's image tokens."""
    attribute_logits: Tensor | None = None
    """[D, B, Q, K], the head of attribute answers on the object queries; None without one."""
    token_attribute_logits: Tensor | None = None
    """[B, N, K], the same head on the encoder's image tokens."""
    hidden: Tensor | None = None
    """[B, Q, d], the object queries after the last decoder layer."""
    memory: Tensor | None = None
    """[B, N, d], the encoder's image tokens."""
    answers: dict[str, Tensor] = field(default_factory=dict)
    """Logits of each answer head, [B, classes], read from the configured decoder layer."""
    layer_attributes: Tensor | None = None
    """[D, B, K], the head of attribute answers on every decoder layer; None without one."""
    roles: Tensor | None = None
    """[D, B, Q, 2], log-odds that an object answers to a question's first and second phrase; None
    where answers are not read from objects."""
    final: Tensor | None = None
    """[D, B, Q], log-odds that the caption is about the object, not only leads to it; None without
    that head."""
    was: Tensor | None = None
    """[B, K, Q, 1 + Q], logits of which object query of each remembered instant showed the same
    object, the first for none; None where nothing is remembered."""
    lost: Tensor | None = None
    """[B, G, C], logits of what is not seen any more; None where there are no queries for it."""
    lost_places: Tensor | None = None
    """[B, G], as `lost.Candidates.place`, -1 where nothing is remembered."""
    presence: Tensor | None = None
    """[B, Q], log-odds that a query has an object, named or not; None where nothing is
    remembered."""


START_SCALE = 5.0
"""Of alignments in logits, before training."""


def unit(vectors: Tensor) -> Tensor:
    """Scaled to length 1 along the last axis."""
    return vectors * (vectors.square().sum(-1, keepdim=True) + 1e-12).rsqrt()


def as_tuple(outputs: Tensor | tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """A module's outputs, also if there is only one."""
    return outputs if isinstance(outputs, tuple) else (outputs,)


class MDETR(nn.Module):
    """Text-modulated DETR."""

    def __init__(self, c: NetworkConfig):
        super().__init__()
        d = c.d_model
        body = backbones.build(c.backbone, c.backbone_widths, c.backbone_blocks)
        self.config = c
        self.backbone = nn.Sequential(backbones.Body(body))
        self.input_proj = nn.Conv2d(body.channels, d, 1)
        self.transformer = Transformer(c)
        self.query_embed = nn.Embedding(c.queries, d)
        self.class_embed = nn.Linear(d, c.slots)
        self.bbox_embed = MLP([d, d, d, 4])
        if c.contrastive_dim:
            self.contrastive_align_projection_image = nn.Linear(d, c.contrastive_dim)
            self.contrastive_align_projection_text = nn.Linear(d, c.contrastive_dim)
        if c.aligned_logits:
            if not c.contrastive_dim:
                raise ValueError("aligned_logits: expected contrastive_dim above 0, found 0")
            self.align_scale = nn.Parameter(torch.tensor(START_SCALE))
        if c.query_grid:
            self._place_queries(*c.query_grid)
        self.answers = answers.classes(c.answers, c.answer_classes, c.answer_attributes)
        if self.answers:
            self.qa_embed = nn.Embedding(len(self.answers), d)
        for name, classes in self.answers.items():
            head = MLP([d, d, d, classes]) if name == "reg" else nn.Linear(d, classes)
            setattr(self, f"answer_{name}_head", head)
        if c.past:
            self.past = Past(c)
        if c.lost:
            if not c.past:
                raise ValueError("lost: expected past above 0, found 0")
            self.lost = Lost(c)
        if c.final:
            self.isfinal_embed = nn.Linear(d, 1)
        if c.answers_from_objects:
            groups = answers.attribute_groups(c.answer_attributes, ATTRIBUTES)
            if not groups or sum(map(len, groups)) != len(c.answer_attributes):
                raise ValueError(
                    "answers_from_objects: expected answer_attributes with every value of "
                    f"{', '.join(ATTRIBUTES)} and no others, found {c.answer_attributes}"
                )
            self.answer_readout = ObjectReadout(d, groups, self.answers["reg"])

    @property
    def stride(self) -> int:
        """Pixels per image token and axis."""
        return self.backbone[0].body.stride

    @property
    def pyramid(self) -> dict[str, int]:
        """Names and strides of the maps that `vision` gives for masks, coarse to fine."""
        count = len(self.backbone[0].body.pyramid) if self.config.masks else 0
        strides = [self.stride >> i for i in range(1, count + 1)]
        return {f"pyramid_{stride}": stride for stride in strides}

    @torch.no_grad()
    def _place_queries(self, rows: int, columns: int) -> None:
        """Start each object query at a point of a grid: its embedding is that point's position
        encoding, and cross-attention starts with equal query and key projections, so that it
        looks there first."""
        if rows * columns != self.config.queries:
            raise ValueError(
                f"query_grid: expected {self.config.queries} points, found {rows} x {columns}"
            )
        y = (torch.arange(rows) + 0.5) / rows
        x = (torch.arange(columns) + 0.5) / columns
        y, x = torch.meshgrid(y, x, indexing="ij")
        self.query_embed.weight.copy_(encode_points(y, x, self.config.d_model).flatten(0, 1))
        for layer in self.transformer.decoder.layers:
            wq, wk, _ = layer.cross_attn_image.in_proj_weight.chunk(3)
            wk.copy_(wq)

    def position(self, height: int, width: int, padding: Tensor | None = None) -> Tensor:
        """Position encoding for an image of that size: [1, N, d]; with padding of pixels
        [I, H, W], true beside a picture, that of each picture alone: [I, N, d]."""
        rows, columns = -(-height // self.stride), -(-width // self.stride)
        if padding is None:
            position = sine_position(rows, columns, self.config.d_model)
            return position.to(self.query_embed.weight.device)
        return padded_position(token_padding(padding, rows, columns), self.config.d_model)

    def padding(self, pixels: Tensor) -> Tensor:
        """Padding of pixels [I, H, W] to that of image tokens [I, N]."""
        rows, columns = (-(-side // self.stride) for side in pixels.shape[1:])
        return token_padding(pixels, rows, columns).flatten(1)

    def vision(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """[B, 3, H, W] -> image tokens [B, N, d], row-major; with masks a tuple of them and the
        backbone's maps, as `pyramid` names them."""
        if self.config.masks:
            *pyramid, last = self.backbone[0].body.features(image)
            return (self._project(last), *reversed(pyramid))
        return self._project(self.backbone(image))

    def _project(self, features: Tensor) -> Tensor:
        return self.input_proj(features).flatten(2).transpose(1, 2)

    def text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """[B, L] -> text memory [B, L, d]."""
        return self.transformer.encode_text(input_ids, attention_mask)

    def fusion(
        self,
        tokens: Tensor,
        position: Tensor,
        text_memory: Tensor,
        text_mask: Tensor,
        past: Tensor | None = None,
        past_boxes: Tensor | None = None,
        past_age: Tensor | None = None,
        padding: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Logits [B, Q, C] and boxes [B, Q, 4], followed, where the network has queries for what is
        not seen any more, by theirs [B, G, C] and [B, G, 4]; with masks or a past the object
        queries' last hidden states [B, Q, d]; with masks the encoder's image tokens [B, N, d]; with
        a past the boxes [B, Q, 4] that the present alone gives and the vectors [B, Q, I] by which
        objects are known again; with queries for what is not seen any more how many seconds ago it
        was [B, G]; with questions the logits [B, K] of each answer head. Padding as for
        `Transformer.fuse`.

        past, past_boxes: what the hidden states and those boxes were at K other instants,
        [B, K, Q, d] and [B, K, Q, 4]; past_age: their ages in seconds, [B, K], 0 where there is
        none. Objects are read from the last layer, answers from the configured one.
        """
        memory, full_position, mask = self.transformer.fuse(
            tokens, position, text_memory, text_mask, padding
        )
        layers = self._decode(memory, full_position, mask)
        hidden = objects = layers[-1][:, : self.config.queries]
        text = memory[:, tokens.shape[1] :]
        before = self.bbox_embed(hidden).sigmoid()
        if self.config.past:
            if past is None:
                past, past_boxes, past_age = self._nothing(hidden, before)
            objects, trace = self.past(hidden, before, text, text_mask, past, past_boxes, past_age)
        aligned = self.config.aligned_logits
        embedded = self._embedded(objects, text) if aligned else None
        logits = self._class_logits(objects, embedded, text_mask)
        boxes = self.bbox_embed(objects).sigmoid() if self.config.past else before
        outputs = [logits, boxes]
        if self.config.lost:
            words, places, lost = self._lost(trace, objects, text, text_mask)
            outputs = [torch.cat([logits, words], 1), torch.cat([boxes, places], 1)]
        if self.config.masks or self.config.past:
            outputs.append(hidden)
        if self.config.masks:
            outputs.append(memory[:, : tokens.shape[1]])
        if self.config.past:
            outputs += [before, self.past.known(hidden)]
        if self.config.lost:
            outputs.append(lost.age)
        return (*outputs, *self._answer(layers, objects, logits, boxes).values())

    def _lost(
        self, trace: Trace, objects: Tensor, text: Tensor, text_mask: Tensor
    ) -> tuple[Tensor, Tensor, Candidates]:
        """Logits [B, G, C] and boxes [B, G, 4] of what is not seen any more, and what it is."""
        queries, boxes, found = self.lost(self.past, trace, objects, text, text_mask)
        embedded = self._embedded(queries, text) if self.config.aligned_logits else None
        logits = self._class_logits(queries, embedded, text_mask)
        return unless_nothing(logits, found), boxes, found

    def _embedded(self, hidden: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Unit vectors of the contrastive heads for queries [..., B, Q, d] and text [B, L, d]."""
        text_proj = self.contrastive_align_projection_text(text)
        return self._queries_embedded(hidden), unit(text_proj.float())

    def _queries_embedded(self, hidden: Tensor) -> Tensor:
        return unit(self.contrastive_align_projection_image(hidden).float())

    def _class_logits(
        self, hidden: Tensor, embedded: tuple[Tensor, Tensor] | None, text_mask: Tensor
    ) -> Tensor:
        """Logits [..., B, Q, C] of queries [..., B, Q, d]; `embedded` as `_embedded`, needed where
        they are aligned."""
        logits = self.class_embed(hidden)
        if not self.config.aligned_logits:
            return logits
        queries, text = embedded
        similarity = queries @ text.transpose(1, 2) * text_mask[:, None].to(text.dtype)
        beyond = self.config.slots - text.shape[1]
        return logits + F.pad(self.align_scale * similarity, (0, beyond))

    @property
    def fusion_outputs(self) -> list[str]:
        """Names of what `fusion` returns."""
        names = ["logits", "boxes"]
        if self.config.masks or self.config.past:
            names.append("hidden")
        if self.config.masks:
            names.append("memory")
        if self.config.past:
            names += ["present_boxes", "identity"]
        if self.config.lost:
            names.append("lost_age")
        return names + [f"answer_{name}" for name in self.answers]

    def _answer(
        self, layers: Sequence[Tensor], objects: Tensor, logits: Tensor, boxes: Tensor
    ) -> dict[str, Tensor]:
        """Logits of each answer head from a decoder layer's output, and from the objects
        [B, Q, d], whose token logits [B, Q, C] and boxes [B, Q, 4] are given."""
        hidden = layers[self.config.answer_layer]
        places = dict(zip(self.answers, range(self.config.queries, hidden.shape[1]), strict=True))
        found = {
            name: getattr(self, f"answer_{name}_head")(hidden[:, i : i + 1])[:, 0]
            for name, i in places.items()
        }
        if not self.config.answers_from_objects:
            return found
        attributes = self.answer_attr_head(objects)
        asking = hidden[:, places["binary"]]
        read = self.answer_readout(objects, logits, boxes, attributes, asking)
        return found | {name: found[name] + more for name, more in read.items()}

    def _roles(self, objects: Tensor) -> Tensor | None:
        if not self.config.answers_from_objects:
            return None
        return self.answer_readout.roles(objects).float()

    def _layer_attributes(self, layers: Tensor) -> Tensor | None:
        """What each decoder layer would answer for an attribute, [D, B, K]."""
        if "attr" not in self.answers:
            return None
        place = self.config.queries + list(self.answers).index("attr")
        return self.answer_attr_head(layers[:, :, place]).float()

    def _decode(self, memory: Tensor, position: Tensor, mask: Tensor) -> list[Tensor]:
        queries = self.query_embed.weight
        if self.answers:
            queries = torch.cat([queries, self.qa_embed.weight])
        queries = queries[None].expand(memory.shape[0], -1, -1)
        return self.transformer.decoder(queries, memory, position, mask)

    def _final(self, hidden: Tensor) -> Tensor | None:
        return self.isfinal_embed(hidden)[..., 0].float() if self.config.final else None

    def forward(
        self,
        tokens: Tensor,
        position: Tensor,
        text_memory: Tensor,
        text_mask: Tensor,
        padding: Tensor | None = None,
        remembered: Remembered | None = None,
    ) -> Outputs:
        """Training outputs of every decoder layer, then of the layers that know the past, and of
        the encoder's image tokens. Padding as for `Transformer.fuse`."""
        decoded = self.decoded(tokens, position, text_memory, text_mask, padding)
        return self.read(decoded, text_mask, remembered)

    def decoded(
        self,
        tokens: Tensor,
        position: Tensor,
        text_memory: Tensor,
        text_mask: Tensor,
        padding: Tensor | None = None,
    ) -> Decoded:
        """What the encoder and the decoder give, as for `forward`."""
        memory, full_position, mask = self.transformer.fuse(
            tokens, position, text_memory, text_mask, padding
        )
        layers = torch.stack(self._decode(memory, full_position, mask))
        n = tokens.shape[1]
        return Decoded(layers, memory[:, n:], memory[:, :n])

    def read(
        self, decoded: Decoded, text_mask: Tensor, remembered: Remembered | None = None
    ) -> Outputs:
        """What follows from that, as for `forward`; without image tokens nothing of them."""
        layers, text = decoded.layers, decoded.text
        hidden = layers[:, :, : self.config.queries]
        last, trace, lost = hidden[-1], None, {}
        if self.config.past:
            boxes = self.bbox_embed(last).float().sigmoid()
            past = self._past(last, boxes, remembered)
            objects, trace = self.past(last, boxes, text, text_mask, *past)
            hidden = torch.cat([hidden, objects[None]])
            if self.config.lost:
                words, _, found = self._lost(trace, objects, text, text_mask)
                places = found.place.masked_fill(found.age <= 0, -1)
                lost = {"lost": words.float(), "lost_places": places}
        query_embeddings, text_embeddings = None, None
        if self.config.contrastive_dim:
            query_embeddings, text_embeddings = self._embedded(hidden, text)
        logits = self._class_logits(hidden, (query_embeddings, text_embeddings), text_mask)
        attributes = self.answer_attr_head if "attr" in self.answers else None
        boxes = self.bbox_embed(hidden).float().sigmoid()
        found = self._answer(layers, hidden[-1], logits[-1], boxes[-1])
        outputs = Outputs(
            logits=logits.float(),
            boxes=boxes,
            query_embeddings=query_embeddings,
            text_embeddings=text_embeddings,
            attribute_logits=attributes(hidden).float() if attributes else None,
            hidden=last,
            answers={k: v.float() for k, v in found.items()},
            roles=self._roles(hidden),
            layer_attributes=self._layer_attributes(layers),
            final=self._final(hidden),
            was=trace.logits if trace else None,
            presence=self.past.presence(last)[..., 0].float() if self.config.past else None,
            **lost,
        )
        if decoded.image is None:
            return outputs
        image = self.transformer.decoder.norm(decoded.image)
        aligned = self.config.aligned_logits
        embedded = (self._queries_embedded(image), text_embeddings) if aligned else None
        return replace(
            outputs,
            token_logits=self._class_logits(image, embedded, text_mask).float(),
            token_boxes=self.bbox_embed(image).float().sigmoid(),
            token_attribute_logits=attributes(image).float() if attributes else None,
            memory=decoded.image,
        )

    def _past(
        self, hidden: Tensor, boxes: Tensor, remembered: Remembered | None
    ) -> tuple[Tensor, ...]:
        """What `Past` takes of the past of object queries [B, Q, d] and boxes [B, Q, 4], of which
        some are others'."""
        if remembered is None:
            return self._nothing(hidden, boxes)
        return hidden[remembered.rows], boxes[remembered.rows], remembered.age

    @staticmethod
    def _nothing(hidden: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """An empty past of object queries [B, Q, d] and boxes [B, Q, 4]."""
        return hidden[:, None], boxes[:, None], torch.zeros_like(boxes[:, :1, 0])
