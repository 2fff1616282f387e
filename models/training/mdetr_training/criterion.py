"""The losses of a batch, as a stage of training weighs them."""

import torch
from torch import Tensor

from .batch import Batch
from .config import StageConfig
from .evaluate import autocast, run
from .losses import (
    answer_losses,
    detection_losses,
    identity_loss,
    lost_loss,
    mask_losses,
    matched_masks,
    others_losses,
    present_matches,
    read_attributes_loss,
    token_attribute_loss,
    token_losses,
)
from .matcher import Matches, match
from .network import MDETR, Outputs, as_tuple
from .segmentation import DETRsegm
from .words import Words


def losses(
    network: MDETR | DETRsegm,
    words: Words,
    batch: Batch,
    stage: StageConfig,
    groups: list[list[int]] | None = None,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Weighted losses of a batch; names in capitals are shown, not trained.

    groups: the classes of each attribute's values among the answers, which losses on attributes
    need; seed: of the objects whose masks are drawn, if not all are.
    """
    device = batch.images.device
    if stage.masks_only:
        with autocast(device), torch.no_grad():
            maps = as_tuple(network.vision(batch.images))
            outputs = run(network, maps[0], batch)
        return drawn_losses(network, outputs, maps, batch, stage, seed)
    result, maps = {}, ()
    with autocast(device):
        if batch.decoded is None:
            maps = as_tuple(network.vision(batch.images))
        if batch.scene:
            found, accuracy = words.loss(network, maps[0], batch)
            result["words"] = max(stage.loss.words, float(stage.words_only)) * found
            result |= {f"ACC{i}": a for i, a in enumerate(accuracy)}
            if stage.words_only:
                return result
        outputs = run(network, maps[0] if maps else None, batch)
    if stage.lost_only:
        return clip_losses(outputs, batch, stage)
    result |= detection_losses(outputs, batch.targets, stage.loss, groups)
    result |= clip_losses(outputs, batch, stage)
    result |= answer_losses(outputs.answers, batch.answers, stage.loss.qa, stage.loss.qa_type)
    if stage.mask_objects:
        result |= drawn_losses(network, outputs, maps, batch, stage, seed)
    return result | (scene_losses(outputs, batch, stage, groups) if batch.scene else {})


def clip_losses(outputs: Outputs, batch: Batch, stage: StageConfig) -> dict[str, Tensor]:
    """Losses of a network with a past: of all objects, and, of clips, along time; of what is not
    seen any more alone where a stage trains nothing else."""
    if outputs.presence is None or batch.targets.others is None:
        return {}
    c, result = stage.loss, {}
    matches = present_matches(outputs, batch.targets)
    if batch.remembered is not None and outputs.lost is not None and batch.targets.hidden:
        found = lost_loss(outputs, batch.remembered, batch.targets, matches)
        result["lost"] = c.lost * found
    if stage.lost_only:
        return result
    if c.others > 0:
        result |= others_losses(outputs, batch.targets, matches[1], c)
    if batch.remembered is not None:
        found = identity_loss(outputs, batch.remembered, batch.targets, matches)
        result["identity"] = c.identity * found
    return result


def drawn_losses(
    network: DETRsegm,
    outputs: Outputs,
    maps: tuple[Tensor, ...],
    batch: Batch,
    stage: StageConfig,
    seed: int,
) -> dict[str, Tensor]:
    """Losses of the masks of matched objects, of at most as many as the stage says."""
    m = match(outputs.logits[-1], outputs.boxes[-1], batch.targets)
    count = len(m.batch)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    chosen = order[: stage.mask_objects].to(m.batch.device)
    m = Matches(m.batch[chosen], m.query[chosen], m.target[chosen])
    image = m.batch // (len(batch.captions) // len(batch.images))
    hidden, memory = outputs.hidden[m.batch, m.query], outputs.memory[m.batch]
    padding = None if batch.padding is None else network.padding(batch.padding)
    with autocast(batch.images.device):
        logits = network.masks(hidden, memory, image, *maps, padding=padding)
    number = batch.targets.num_boxes * len(chosen) / max(count, 1)
    focal, dice = mask_losses(logits.float(), matched_masks(batch, m), max(number, 1.0))
    return {"mask": stage.loss.mask * focal, "dice": stage.loss.dice * dice}


def scene_losses(
    outputs: Outputs, batch: Batch, stage: StageConfig, groups: list[list[int]] | None
) -> dict[str, Tensor]:
    """Losses that need what only a renderer knows."""
    result = {}
    c, scene = stage.loss, batch.scene
    k = len(batch.captions) // len(batch.images)
    if outputs.layer_attributes is not None:
        asked = batch.answers["attr"][:, None].expand(-1, 2)
        read = torch.where(asked >= 0, asked, scene.compared)
        result["qa_read"] = c.qa * read_attributes_loss(outputs.layer_attributes, read)
    cells = scene.cells.repeat_interleave(k, 0)
    if c.tokens > 0:
        boxes = scene.boxes.repeat_interleave(k, 0)
        result |= token_losses(outputs, cells, boxes, scene.objects, batch.targets, c)
    if c.attributes > 0:
        attributes = scene.attributes.repeat_interleave(k, 0)
        found = token_attribute_loss(outputs.token_attribute_logits, cells, attributes, groups)
        result["token_attributes"] = c.attributes * found
    return result
