"""Small networks, batches and optimiser steps on which the official code and ours are compared.

Everything is drawn from seeds and names with numpy, so that both sides have the same to the bit.
"""

import zlib
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from mdetr_training import structures
from mdetr_training import tokenizer as tokenizers
from mdetr_training.answers import ANSWER_HEADS
from mdetr_training.batch import Batch
from mdetr_training.captions import Caption, Spans
from mdetr_training.config import LossConfig, NetworkConfig
from mdetr_training.losses import answer_losses, layer_losses, mask_losses, matched_masks
from mdetr_training.matcher import Targets, match
from mdetr_training.network import Outputs, as_tuple
from mdetr_training.recipe import (
    Ema,
    Rates,
    Schedule,
    adamw,
    freeze_first_layers,
    ordered,
    set_rates,
)
from mdetr_training.segmentation import build, grounding

STEPS = 5
RATES = Rates()
SCHEDULE = Schedule(epochs=150, steps_per_epoch=2, drop=2)
"""Three steps of warm-up, a drop after the fourth step."""
CLIP_NORM = 0.1
WEIGHT_DECAY, EMA_DECAY = 0.1, 0.9
"""Not 0.0001 and 0.9998, of which five steps would show nothing."""


@dataclass
class Case:
    """A stage of the paper's training, in small."""

    network: NetworkConfig
    loss: LossConfig = field(default_factory=LossConfig)

    @property
    def detection(self) -> bool:
        return self.loss.ce > 0


def small(name: str, **changes: object) -> NetworkConfig:
    """The small form of a structure, with three decoder layers and without dropout."""
    network = structures.small(structures.NETWORKS[name])
    return replace(network, dropout=0.0, decoder_layers=3, answer_classes=[], **changes)


NO_DETECTION = LossConfig(ce=0, bbox=0, giou=0, contrastive_align=0)
CASES = {
    "grounding": Case(small("resnet101")),
    "grounding-efficientnet": Case(small("efficientnetB3")),
    "expressions-final": Case(small("clevr", answers="", final=True)),
    "gqa": Case(small("resnet101_gqa"), LossConfig(aux=False, qa=25.0)),
    "clevr": Case(small("clevr"), LossConfig(qa_type=2.0)),
    "clevr-humans": Case(small("clevr"), NO_DETECTION),
    "masks": Case(small("efficientnetB3_phrasecut", d_model=256), LossConfig(aux=False)),
}
"""The detector of "masks" is frozen. Its width is the released one, as the official mask head has
no smaller form."""


@dataclass
class Sample:
    """A picture with a caption."""

    picture: Tensor
    """[3, h, w]."""
    caption: str
    spans: list[list[list[int]]]
    """Characters that name each object."""
    boxes: Tensor
    """[M, 4], relative cx cy w h."""
    final: Tensor
    """[M], 0 or 1."""
    masks: Tensor
    """[M, h, w] bool."""
    answers: dict[str, int]
    """Class by answer head, of those that are asked."""


SIZES = [(101, 150), (128, 117), (64, 160)]
"""Heights and widths; no picture fills the batch."""
CAPTIONS = [
    ("a red cube left of the blue sphere", [[[1, 10]], [[19, 34]], [[0, 10], [23, 34]]]),
    ("nothing to see", []),
    ("two green cones and a small grey box", [[[0, 15]], [[4, 15]], [[20, 36]], [[28, 32]]]),
]
"""With the characters of each object. The first span begins at a space."""
GQA_ANSWERS = [{"type": 0, "obj": 2}, {"type": 4, "cat": 677}, {"type": 0, "obj": 0}]
CLEVR_ANSWERS = [{"type": 0, "binary": 1}, {"type": 2, "reg": 3}, {"type": 0, "binary": 0}]
ANSWERS = {"gqa": GQA_ANSWERS, "clevr": CLEVR_ANSWERS}
"""Nobody asks for an attribute."""


def samples(case: Case, step: int) -> list[Sample]:
    """What a step learns from. The first picture has the first caption, whose span at a space the
    official code would look for in it even if another picture had it."""
    rng = np.random.default_rng([7, step])
    found = []
    for i, (caption, spans) in enumerate(CAPTIONS):
        height, width = SIZES[(i + step) % len(SIZES)]
        objects = len(spans)
        picture = rng.uniform(-2, 2, (3, height, width))
        boxes = np.concatenate(
            [rng.uniform(0.3, 0.7, (objects, 2)), rng.uniform(0.1, 0.6, (objects, 2))], 1
        )
        corners = np.concatenate(
            [boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1
        )
        y = (np.arange(height) + 0.5)[None, :, None] / height
        x = (np.arange(width) + 0.5)[None, None, :] / width
        left, top, right, bottom = (c[:, None, None] for c in corners.T)
        masks = (left < x) & (x < right) & (top < y) & (y < bottom)
        masks &= rng.uniform(size=masks.shape) < 0.9
        kinds = ANSWERS.get(case.network.answers, [{}] * len(CAPTIONS))
        found.append(
            Sample(
                picture=torch.from_numpy(picture).float(),
                caption=caption,
                spans=spans,
                boxes=torch.from_numpy(boxes).float(),
                final=torch.from_numpy(rng.integers(0, 2, objects)).float(),
                masks=torch.from_numpy(masks),
                answers=kinds[(i + step) % len(kinds)],
            )
        )
    return found


@cache
def tokenizer() -> tokenizers.Tokenizer:
    """One token for each byte."""
    return tokenizers.byte_level(structures.SMALL_TEXT.vocab_size)


def batch(case: Case, step: int) -> Batch:
    """The samples of a step, padded."""
    found = samples(case, step)
    count, most = len(found), max(len(s.boxes) for s in found)
    height, width = (max(s.picture.shape[i] for s in found) for i in (1, 2))
    encoded = [tokenizer().encode(s.caption) for s in found]
    length = max(len(e.ids) for e in encoded)
    images = torch.zeros(count, 3, height, width)
    padding = torch.ones(count, height, width, dtype=torch.bool)
    ids = torch.full((count, length), tokenizers.PAD_ID)
    boxes = torch.full((count, most, 4), 0.5)
    positive = torch.zeros(count, most, length, dtype=torch.bool)
    valid = torch.zeros(count, most, dtype=torch.bool)
    final = torch.zeros(count, most)
    masks = torch.zeros(count, most, height, width, dtype=torch.bool)
    captions = []
    for b, (s, e) in enumerate(zip(found, encoded, strict=True)):
        _, h, w = s.picture.shape
        objects = len(s.boxes)
        images[b, :, :h, :w] = s.picture
        padding[b, :h, :w] = False
        ids[b, : len(e.ids)] = torch.tensor(e.ids)
        boxes[b, :objects], valid[b, :objects], final[b, :objects] = s.boxes, True, s.final
        masks[b, :objects, :h, :w] = s.masks
        tokens, _ = Spans(s.spans, []).tokens(e)
        for m, named in enumerate(tokens):
            positive[b, m, named] = True
        captions.append(Caption(s.caption, "", e.ids, list(range(objects)), tokens, []))
    heads = ANSWER_HEADS.get(case.network.answers, {})
    return Batch(
        images=images,
        input_ids=ids,
        attention_mask=(ids != tokenizers.PAD_ID).long(),
        targets=Targets(boxes, positive, valid, final=final, masks=masks),
        captions=captions,
        answers={h: torch.tensor([s.answers.get(h, -1) for s in found]) for h in heads},
        padding=padding,
    )


def rng_of(name: str, seed: int) -> np.random.Generator:
    """Random numbers that belong to an entry."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """A random entry: variance one in, variance one out."""
    rng = rng_of(name, 1)
    if name.endswith("running_var"):
        value = rng.uniform(0.5, 1.5, shape)
    elif len(shape) > 1:
        value = rng.uniform(-1, 1, shape) * np.sqrt(3 / np.prod(shape[1:]))
    elif name.endswith("weight"):
        value = rng.uniform(0.7, 1.3, shape)
    else:
        value = rng.uniform(-0.2, 0.2, shape)
    return torch.from_numpy(value).float()


def network(case: Case) -> nn.Module:
    """Ours, with random weights and what the paper freezes frozen."""
    found = build(case.network).train()
    found.load_state_dict({k: weight(k, tuple(v.shape)) for k, v in found.state_dict().items()})
    freeze_first_layers(found)
    if case.network.masks:
        grounding(found).requires_grad_(False)
    return found


def losses(case: Case, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Weighted losses of each decoder layer: of the last one by their names, of others with the
    layer's number behind them."""
    maps = as_tuple(network.vision(batch.images))
    position = network.position(*batch.images.shape[2:], batch.padding)
    padding = network.padding(batch.padding)
    text = network.text(batch.input_ids, batch.attention_mask)
    outputs: Outputs = network(maps[0], position, text, batch.attention_mask, padding)
    last = len(outputs.logits) - 1
    found = layer_losses(outputs, last, batch.targets, case.loss)
    for i in range(last if case.loss.aux else 0):
        layer = layer_losses(outputs, i, batch.targets, case.loss)
        found |= {f"{name}_{i}": value for name, value in layer.items()}
    found |= answer_losses(outputs.answers, batch.answers, case.loss.qa, case.loss.qa_type)
    if case.network.masks:
        m = match(outputs.logits[-1], outputs.boxes[-1], batch.targets)
        hidden, memory = outputs.hidden[m.batch, m.query], outputs.memory[m.batch]
        logits = network.masks(hidden, memory, m.batch, *maps, padding=padding)
        pair = mask_losses(logits, matched_masks(batch, m), batch.targets.num_boxes)
        found |= {"mask": case.loss.mask * pair[0], "dice": case.loss.dice * pair[1]}
    return found


@dataclass
class Result:
    """What a side found, by name in the order of the official code."""

    losses: dict[str, float]
    """Of the first step."""
    gradients: dict[str, Tensor | None]
    """Of the first step, not clipped, of every parameter that trains; None where nothing reaches
    it."""
    parameters: dict[str, Tensor]
    """What the steps have changed of each."""
    averages: dict[str, Tensor]
    """What the steps have changed of each one's average."""
    state: dict
    """The optimiser's, after the last step."""


def result(
    losses: dict[str, Tensor],
    gradients: dict[str, Tensor | None],
    network: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> Result:
    """A side's result from its networks after the steps; `gradients` name what trains."""
    last, averages = dict(network.named_parameters()), dict(average.named_parameters())
    start = {name: weight(name, tuple(last[name].shape)) for name in gradients}
    return Result(
        losses={name: value.item() for name, value in losses.items()},
        gradients=gradients,
        parameters={name: last[name].detach() - value for name, value in start.items()},
        averages={name: averages[name].detach() - value for name, value in start.items()},
        state=optimizer.state_dict(),
    )


TOLERANCE = 1e-5
"""Relative of losses and gradients, absolute of parameters and averages."""
NOTHING = 1e-7
"""A gradient this small beside the largest of all is rounding alone."""


def key_bias(name: str, value: Tensor) -> Tensor:
    """The part of an entry that is a bias of keys, empty if none is. It adds the same to the scores
    of every key, and softmax takes that away: its gradient is rounding alone, out of which AdamW,
    which divides by a gradient's size, still makes steps."""
    if name.endswith("in_proj_bias"):
        return value.chunk(3)[1]
    return value if name.endswith(("key.bias", "k_linear.bias")) else value[:0]


def without_key_bias(name: str, value: Tensor | None) -> Tensor | None:
    """An entry with zeros for that part."""
    if value is not None:
        value = value.clone()
        key_bias(name, value).zero_()
    return value


def ours(case: Case) -> Result:
    """Our side: gradients, then the steps from the same start."""
    net = network(case)
    found = losses(case, net, batch(case, 0))
    sum(found.values()).backward()
    trained = [(name, p) for name, p in ordered(net) if p.requires_grad]
    gradients = {name: None if p.grad is None else p.grad.clone() for name, p in trained}
    optimizer, average = adamw(net, RATES, WEIGHT_DECAY), Ema(net)
    for step in range(STEPS):
        optimizer.zero_grad(set_to_none=True)
        sum(losses(case, net, batch(case, step)).values()).backward()
        nn.utils.clip_grad_norm_(net.parameters(), CLIP_NORM)
        optimizer.step()
        set_rates(optimizer, RATES, SCHEDULE.factors(step))
        average.update(net, EMA_DECAY)
    return result(found, gradients, net, average.network, optimizer)


def projected(name: str, value: Tensor | None) -> list[float]:
    """An entry's length and its parts along two random directions of length one, without biases of
    keys; of nothing, not a number."""
    value = without_key_bias(name, value)
    if value is None:
        return [float("nan")] * 3
    flat = value.double().flatten().numpy()
    signs = rng_of(name, 2).integers(0, 2, (2, flat.size)) * 2.0 - 1
    return [float(np.linalg.norm(flat)), *(signs @ flat / np.sqrt(flat.size)).tolist()]
