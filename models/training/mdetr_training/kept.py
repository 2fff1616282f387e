"""Batches whose way through the network's frozen part is gone once."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch

from .batch import Batch
from .config import StageConfig
from .decoded import Decoded
from .evaluate import autocast, fused_with
from .feed import Feed
from .network import MDETR, as_tuple
from .segmentation import DETRsegm, grounding


@torch.no_grad()
def decoded(network: MDETR | DETRsegm, batch: Batch) -> Batch:
    """The batch with what encoder and decoder give in place of its pictures. What else is known of
    rendered pictures is left out, as only image tokens need it."""
    with autocast(batch.images.device):
        (tokens, *_) = as_tuple(network.vision(batch.images))
        detr = grounding(network)
        found = detr.decoded(*fused_with(network, tokens, batch))
    found = Decoded(found.layers.float(), found.text.float(), None)
    captions = [replace(caption, spans=None) for caption in batch.captions]
    images = batch.images[..., :1, :1].clone()
    return replace(batch, images=images, captions=captions, scene=None, decoded=found)


def parts(
    feed: Feed,
    number: int,
    stage: StageConfig,
    step: int,
    keep: Callable[[Batch], Batch],
    seed: list[int],
) -> Iterator[list[Batch]]:
    """Of each step of the stage with that number, from `step` on, one of the `stage.kept` lists of
    batches of its first steps, each kept when it is first needed."""
    kept: dict[int, list[Batch]] = {}
    for at in itertools.count(step):
        chosen = int(np.random.default_rng([*seed, number, at]).integers(stage.kept))
        if chosen not in kept:
            kept[chosen] = [keep(part) for part in next(feed.parts(number, stage, chosen))]
        yield kept[chosen]
