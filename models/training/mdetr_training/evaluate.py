"""Accuracy of a network on a prepared data set."""

from collections import defaultdict

import torch
from torch import Tensor

from .batch import Batch
from .boxes import cxcywh_to_xyxy, iou_and_giou
from .data import Data
from .losses import enlarged, matched_objects, true_masks
from .matcher import match
from .network import MDETR, as_tuple
from .segmentation import DETRsegm

SCORE_THRESHOLD = 0.7
MASKS_AT_ONCE = 64
"""Masks drawn together, to bound memory."""


def autocast() -> torch.autocast:
    """bf16 matrix products on processors that have them; the others emulate them, many times
    slower than fp32. Without AMX with one thread only: with several, oneDNN 3.13 crashes in the
    backward pass of bf16 convolutions."""
    safe = torch.cpu._is_amx_tile_supported() or torch.get_num_threads() == 1
    enabled = safe and torch.cpu._is_avx512_bf16_supported()
    return torch.autocast("cpu", torch.bfloat16, enabled=enabled)


@torch.no_grad()
def evaluate(network: MDETR | DETRsegm, data: Data, images: int, limit: int) -> dict[str, float]:
    """Per kind of caption: recall at 1 of every phrase ("r1/kind"), of the first phrase alone for
    relations ("acc/kind"), the share of captions that name nothing and have a box all the same
    ("false/kind"), and all of them together ("r1"); of questions the share that is answered right
    ("qa/kind" and "qa"); of masks the mean IoU over the matched objects at the pictures' prepared
    size ("miou")."""
    network.eval()
    hits: dict[str, list[float]] = defaultdict(list)
    for batch in data.ordered(images, limit):
        height, width = batch.images.shape[2:]
        with autocast():
            maps = as_tuple(network.vision(batch.images))
            tokens = maps[0]
            k = len(batch.captions) // len(tokens)
            text = network.text(batch.input_ids, batch.attention_mask)
            fused = network.fusion(
                tokens.repeat_interleave(k, 0),
                network.position(height, width),
                text,
                batch.attention_mask,
            )
        outputs = dict(zip(network.fusion_outputs, (x.float() for x in fused), strict=True))
        probability = outputs["logits"].softmax(-1)
        corners = cxcywh_to_xyxy(outputs["boxes"])
        right = answered({h: outputs[f"answer_{h}"] for h in network.answers}, batch.answers)
        if network.config.masks and batch.scene.maps is not None:
            hits["miou"] += mask_ious(network, outputs, maps, batch)
        truth = cxcywh_to_xyxy(batch.targets.boxes)
        for b, caption in enumerate(batch.captions):
            if caption.answer:
                hits["qa"].append(float(right[b]))
                hits[f"qa/{caption.kind}"].append(float(right[b]))
            if not caption.phrases:
                found = (1 - probability[b, :, -1] > SCORE_THRESHOLD).any()
                hits[f"false/{caption.kind}"].append(float(found))
            for p, phrase in enumerate(caption.phrases):
                best = probability[b][:, phrase].amax(1).argmax()
                named = batch.targets.positive[b][:, phrase].any(1) & batch.targets.valid[b]
                iou, _ = iou_and_giou(corners[b, best], truth[b, named])
                hit = float((iou >= 0.5).any())
                hits["r1"].append(hit)
                hits[f"r1/{caption.kind}"].append(hit)
                if p == 0 and "relation" in caption.kind:
                    hits[f"acc/{caption.kind}"].append(hit)
    return {name: sum(values) / len(values) for name, values in sorted(hits.items())}


def answered(logits: dict[str, Tensor], targets: dict[str, Tensor]) -> Tensor:
    """Which captions [B] every head that is asked answers right; logits [B, classes] and targets
    [B] by head, -1 where it is not asked. True where none is."""
    right = torch.ones((), dtype=torch.bool)
    for name, found in logits.items():
        best = found[:, 0] > 0 if name == "binary" else found.argmax(-1)
        right = right & ((best == targets[name]) | (targets[name] < 0))
    return right


@torch.no_grad()
def mask_ious(
    network: DETRsegm, outputs: dict[str, Tensor], maps: tuple[Tensor, ...], batch: Batch
) -> list[float]:
    """IoU of each matched object's mask with the truth at the prepared picture's size, without
    objects that have no pixel there. `outputs` from `fusion` by name, `maps` from `vision`."""
    found = []
    m = match(outputs["logits"], outputs["boxes"], batch.targets)
    owner = m.batch // (len(batch.captions) // len(batch.images))
    truth = true_masks(batch.scene.maps, owner, matched_objects(m, batch.scene.objects)) > 0
    for some in torch.arange(len(m.batch)).split(MASKS_AT_ONCE):
        b, image = m.batch[some], owner[some]
        hidden, memory = outputs["hidden"][b, m.query[some]], outputs["memory"][b]
        with autocast():
            logits = network.masks(hidden, memory, image, *maps)
        mask = enlarged(logits.float(), batch.scene.maps.shape[1:]) > 0
        both = (mask & truth[some]).sum((1, 2))
        either = (mask | truth[some]).sum((1, 2))
        seen = truth[some].any(2).any(1)
        found += (both / either)[seen].tolist()
    return found
