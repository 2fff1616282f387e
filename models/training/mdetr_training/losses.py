"""MDETR's losses. Those of detection are sums divided by the number of ground-truth boxes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .batch import Batch
from .boxes import cxcywh_to_xyxy, iou_and_giou
from .config import LossConfig
from .matcher import Matches, Targets, match, match_others
from .network import Outputs
from .readout import role_loss
from .remembered import Remembered

FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0
ON_OBJECT = 0.5
"""Intersection over union from which a query's box is an object's."""


def soft_token_loss(logits: Tensor, matches: Matches, targets: Targets, eos_coef: float) -> Tensor:
    """Cross-entropy against the multi-hot tokens of the matched object, or "no object"."""
    target = torch.zeros_like(logits)
    target[..., -1] = 1.0
    soft = targets.soft_tokens(logits.shape[-1])
    target[matches.batch, matches.query] = soft[matches.batch, matches.target]
    weight = torch.full(logits.shape[:2], eos_coef, device=logits.device)
    weight[matches.batch, matches.query] = 1.0
    if targets.known is not None:
        weight = weight * targets.known[:, None]
    cross_entropy = -(target * logits.log_softmax(-1)).sum(-1)
    return (cross_entropy * weight).sum() / targets.num_boxes


def box_losses(predicted: Tensor, target: Tensor, num_boxes: float) -> tuple[Tensor, Tensor]:
    """L1 and 1 - GIoU of paired cxcywh boxes [K, 4]."""
    l1 = (predicted - target).abs().sum() / num_boxes
    _, giou = iou_and_giou(cxcywh_to_xyxy(predicted), cxcywh_to_xyxy(target))
    return l1, (1 - giou).sum() / num_boxes


def contrastive_align_loss(
    queries: Tensor, tokens: Tensor, matches: Matches, targets: Targets, temperature: float
) -> Tensor:
    """Unit vectors [B, Q, c] and [B, L, c]: matched queries and their tokens attract.

    All L tokens of a text repel, padding too, so that the length texts are padded to matters: the
    batch's longest. The official code looks for the token of a span that begins or ends at a space
    in the batch's first text, whichever the span's own; here `Targets.positive` says which tokens
    an object has.
    """
    similarity = queries @ tokens.transpose(1, 2) / temperature
    positive = torch.zeros_like(similarity)
    rows = targets.positive[matches.batch, matches.target].to(similarity.dtype)
    positive[matches.batch, matches.query, : rows.shape[-1]] = rows

    def one_way(dim: int) -> Tensor:
        count = positive.sum(dim)
        mean = (similarity * positive).sum(dim) / (count + 1e-6)
        return ((similarity.logsumexp(dim) - mean) * (count > 0)).sum()

    return (one_way(2) + one_way(1)) / 2 / targets.num_boxes


def final_loss(logits: Tensor, matches: Matches, targets: Targets) -> Tensor:
    """Binary cross-entropy of whether the caption is about each matched object: logits [B, Q]."""
    if targets.final is None:
        raise ValueError(
            "loss.final: expected data that says which objects a caption is about, found none; "
            "set it to 0 or take network.final away"
        )
    found = logits[matches.batch, matches.query]
    truth = targets.final[matches.batch, matches.target]
    return F.binary_cross_entropy_with_logits(found, truth, reduction="sum") / targets.num_boxes


def attribute_loss(
    logits: Tensor, matches: Matches, attributes: Tensor, groups: list[list[int]]
) -> Tensor:
    """Cross-entropy of the matched objects' attributes, averaged over objects and attributes.

    logits: [B, Q, K]; attributes: [B, M, G], a value in each group; groups: the classes, of K, of
    each group's values.
    """
    found = logits[matches.batch, matches.query]
    return _attributes(found, attributes[matches.batch, matches.target], groups)


def _attributes(found: Tensor, target: Tensor, groups: list[list[int]]) -> Tensor:
    """As `attribute_loss`, of logits [K, classes] and values [K, G], of which those below 0 do not
    count."""
    losses = [
        F.cross_entropy(found[:, classes], target[:, g], reduction="sum", ignore_index=-1)
        for g, classes in enumerate(groups)
    ]
    return sum(losses) / max(int((target >= 0).sum()), 1)


def token_attribute_loss(
    logits: Tensor, cells: Tensor, attributes: Tensor, groups: list[list[int]]
) -> Tensor:
    """The same for image tokens: logits [B, N, K], cells [B, N] as in `token_losses`, attributes
    [B, O, G] of the scene's objects."""
    batch, token = (cells > 0).nonzero(as_tuple=True)
    target = attributes[batch, cells[batch, token] - 1]
    return _attributes(logits[batch, token], target, groups)


def detection_losses(
    outputs: Outputs, targets: Targets, c: LossConfig, groups: list[list[int]] | None = None
) -> dict[str, Tensor]:
    """Weighted losses, each summed over the decoder layers, or of the last one where `c.aux` is
    off. `groups` as for `attribute_loss`, which needs them."""
    totals: dict[str, Tensor] = {}
    count = outputs.logits.shape[0]
    early = targets.early or targets
    for layer in range(0 if c.aux else count - 1, count):
        wanted = targets if layer == count - 1 else early
        for name, value in layer_losses(outputs, layer, wanted, c, groups).items():
            totals[name] = totals.get(name, 0.0) + value
    return totals


def layer_losses(
    outputs: Outputs,
    layer: int,
    targets: Targets,
    c: LossConfig,
    groups: list[list[int]] | None = None,
) -> dict[str, Tensor]:
    """Weighted losses of one decoder layer, which matches objects and queries by itself. What
    weighs nothing is left out: its parameters then have no gradient at all."""
    logits, boxes = outputs.logits[layer], outputs.boxes[layer]
    m = match(logits, boxes, targets)
    losses = {}
    if c.ce > 0:
        losses["ce"] = c.ce * soft_token_loss(logits, m, targets, c.eos_coef)
    if c.bbox > 0 or c.giou > 0:
        pairs = boxes[m.batch, m.query], targets.boxes[m.batch, m.target]
        l1, giou = box_losses(*pairs, targets.num_boxes)
        losses |= {"bbox": c.bbox * l1, "giou": c.giou * giou}
    if c.contrastive_align > 0 and outputs.query_embeddings is not None:
        embedded = outputs.query_embeddings[layer], outputs.text_embeddings
        align = contrastive_align_loss(*embedded, m, targets, c.temperature)
        losses["contrastive_align"] = c.contrastive_align * align
    if c.final > 0 and outputs.final is not None:
        losses["final"] = c.final * final_loss(outputs.final[layer], m, targets)
    if c.attributes > 0 and groups:
        loss = attribute_loss(outputs.attribute_logits[layer], m, targets.attributes, groups)
        losses["attributes"] = c.attributes * loss
    if outputs.roles is not None and targets.roles is not None:
        truth = targets.roles[m.batch, m.target]
        losses["qa_roles"] = c.qa * role_loss(outputs.roles[layer][m.batch, m.query], truth)
    return losses


def present_matches(outputs: Outputs, targets: Targets) -> tuple[Matches, Matches]:
    """Of what knows no past: queries of objects that a caption may name, and of all others."""
    layer = len(outputs.logits) - 2
    boxes = outputs.boxes[layer]
    named = match(outputs.logits[layer], boxes, targets.early or targets)
    return named, match_others(boxes, named, targets.others)


@torch.no_grad()
def on_objects(outputs: Outputs, targets: Targets) -> Tensor:
    """[B, Q], 1 for the queries whose box before anything is known of the past is an object's, 0
    for the others."""
    early = targets.early or targets
    truth = torch.cat([early.boxes, targets.others.boxes], 1)
    there = torch.cat([early.valid, targets.others.objects >= 0], 1)
    boxes = cxcywh_to_xyxy(outputs.boxes[-2])[:, :, None]
    overlaps, _ = iou_and_giou(boxes, cxcywh_to_xyxy(truth)[:, None])
    return ((overlaps >= ON_OBJECT) & there[:, None]).any(-1).float()


def others_losses(
    outputs: Outputs, targets: Targets, o: Matches, c: LossConfig
) -> dict[str, Tensor]:
    """Weighted losses of the boxes of objects that captions do not name, and of which queries have
    any object's, before anything is known of the past."""
    boxes = outputs.boxes[-2][o.batch, o.query], targets.others.boxes[o.batch, o.target]
    l1, giou = box_losses(*boxes, max(float(len(o.batch)), 1.0))
    presence = F.binary_cross_entropy_with_logits(outputs.presence, on_objects(outputs, targets))
    return {
        "others_bbox": c.others * c.bbox * l1,
        "others_giou": c.others * c.giou * giou,
        "presence": c.others * presence,
    }


def identity_loss(
    outputs: Outputs, remembered: Remembered, targets: Targets, matches: tuple[Matches, Matches]
) -> Tensor:
    """Cross-entropy of where each object was at each remembered instant, averaged over objects and
    instants: matched queries of the present against those matched with the same object then, or
    none."""
    m, o = matches
    count = outputs.logits.shape[1]
    row, query = torch.cat([m.batch, o.batch]), torch.cat([m.query, o.query])
    named, other = targets.objects, targets.others.objects
    scene_object = torch.cat([named[m.batch, m.target], other[o.batch, o.target]])
    most = int(torch.cat([named, other], 1).max()) + 1
    shown = torch.zeros(count, max(most, 1), dtype=torch.long, device=row.device)
    shown[row, scene_object] = query + 1
    truth = shown[remembered.rows[row], scene_object[:, None]]
    logits = outputs.was[row, :, query]
    there = remembered.age[row] > 0
    return F.cross_entropy(logits[there], truth[there], reduction="sum") / max(int(there.sum()), 1)


def lost_loss(
    outputs: Outputs, remembered: Remembered, targets: Targets, matches: tuple[Matches, Matches]
) -> Tensor:
    """Cross-entropy of the words of what is not seen any more, divided by the number of objects
    that captions name and that are among it."""
    m, o = matches
    count, queries = outputs.logits.shape[1:3]
    shown = torch.full((count, queries), -1, device=m.batch.device)
    shown[m.batch, m.query] = targets.objects[m.batch, m.target]
    shown[o.batch, o.query] = targets.others.objects[o.batch, o.target]
    places, hidden = outputs.lost_places, targets.hidden
    rows = remembered.rows.gather(1, places.clamp(min=0) // queries)
    objects = shown[rows, places.clamp(min=0) % queries].masked_fill(places < 0, -1)
    named = (objects[..., None] == hidden.objects[:, None]) & (objects >= 0)[..., None]
    # Of two on the same object the surer one.
    named &= named.cumsum(1) == 1
    soft = named.float() @ hidden.positive.float()
    target = F.pad(soft, (0, outputs.lost.shape[-1] - soft.shape[-1]))
    target[..., -1] = (~named.any(-1)).float()
    weight = (places >= 0).float()
    if targets.known is not None:
        weight = weight * targets.known[:, None]
    cross_entropy = -(target * outputs.lost.log_softmax(-1)).sum(-1)
    found = (named.any(-1) * weight).sum()
    return (cross_entropy * weight).sum() / found.clamp(min=1.0)


def token_losses(
    outputs: Outputs, cells: Tensor, boxes: Tensor, objects: Tensor, targets: Targets, c: LossConfig
) -> dict[str, Tensor]:
    """The detection losses on the encoder's image tokens, which need no matching because the
    renderer knows the object under each.

    cells [B, N]: scene object under the token, 0 for none, i + 1 for object i; boxes [B, O, 4]:
    the scene's boxes; objects [B, O]: index of the scene object among the caption's targets, -1
    where the caption does not name it.
    """
    n = cells.shape[1]
    inside = cells > 0
    scene_object = (cells - 1).clamp(min=0)
    target_index = objects.gather(1, scene_object).masked_fill(~inside, -1)
    named = target_index >= 0
    soft = targets.soft_tokens(outputs.token_logits.shape[-1])
    index = target_index.clamp(min=0)[..., None].expand(-1, -1, soft.shape[-1])
    target = soft.gather(1, index) * named[..., None]
    target[..., -1] = (~named).float()
    cross_entropy = -(target * outputs.token_logits.log_softmax(-1)).sum(-1)
    weight = torch.where(inside, 1.0, c.eos_coef)
    ce = (cross_entropy * weight).sum() / weight.sum()
    batch, token = inside.nonzero(as_tuple=True)
    box_target = boxes[batch, scene_object[batch, token]]
    l1, giou = box_losses(
        outputs.token_boxes[batch, token], box_target, max(float(batch.numel()), 1.0)
    )
    assert n == outputs.token_logits.shape[1]
    return {
        "token_ce": c.tokens * c.ce * ce,
        "token_bbox": c.tokens * c.bbox * l1,
        "token_giou": c.tokens * c.giou * giou,
    }


def answer_losses(
    logits: dict[str, Tensor], targets: dict[str, Tensor], weight: float, type_weight: float = 1.0
) -> dict[str, Tensor]:
    """Weighted cross-entropy of each answer head, binary for "binary", averaged over the captions
    that ask it; 0 if none does. The head "type" weighs `type_weight` times as much.

    logits: [B, classes] by head; targets: class by head, [B], -1 where the head is not asked.
    """
    losses = {}
    for name, found in logits.items():
        asked = targets[name] >= 0
        count = max(int(asked.sum()), 1)
        found, target = found[asked], targets[name][asked]
        if name == "binary":
            loss = F.binary_cross_entropy_with_logits(found[:, 0], target.float(), reduction="sum")
        else:
            loss = F.cross_entropy(found, target, reduction="sum")
        factor = weight * type_weight if name == "type" else weight
        losses[f"qa_{name}"] = factor * loss / count
    return losses


def read_attributes_loss(logits: Tensor, values: Tensor) -> Tensor:
    """Cross-entropy of every decoder layer's attribute answer, averaged over layers and captions,
    against the values that the question is about, half and half: of one object twice the same, of
    two that are compared each one's.

    logits: [D, B, K]; values: [B, 2], -1 where the caption asks for none.
    """
    asked = values[:, 0] >= 0
    log_p = logits[:, asked].log_softmax(-1)
    chosen = log_p.gather(-1, values[asked].expand(len(logits), -1, -1))
    return -chosen.sum() / max(chosen.numel(), 1)


def matched_objects(matches: Matches, objects: Tensor) -> Tensor:
    """Scene object [K] of each match; objects [B, O] as in `Batch`."""
    return (objects[matches.batch] == matches.target[:, None]).int().argmax(1)


def true_masks(maps: Tensor, image: Tensor, objects: Tensor) -> Tensor:
    """Masks [K, H, W], 0 or 1, of the scene objects [K] in maps [I, H, W] of the images [K]."""
    return (maps[image] == (objects + 1)[:, None, None]).float()


def matched_masks(batch: Batch, matches: Matches) -> Tensor:
    """Masks [K, H, W], 0 or 1, of matched objects at the size of the batch's pictures: from the
    scene where a renderer knows it, else from the targets."""
    if batch.scene is None:
        if batch.targets.masks is None:
            raise ValueError("masks: expected data with the objects' masks, found none")
        return batch.targets.masks[matches.batch, matches.target].float()
    image = matches.batch // (len(batch.captions) // len(batch.images))
    return true_masks(batch.scene.maps, image, matched_objects(matches, batch.scene.objects))


def enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Mask logits [K, h, w] at a picture's height and width, bilinearly."""
    return F.interpolate(logits[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def mask_losses(logits: Tensor, truth: Tensor, num_boxes: float) -> tuple[Tensor, Tensor]:
    """Focal and dice loss of paired masks: logits [K, h, w] and truth [K, H, W], 0 or 1."""
    logits = enlarged(logits, truth.shape[1:]).flatten(1)
    truth = truth.flatten(1)
    p = logits.sigmoid()
    cross_entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    miss = p * (1 - truth) + (1 - p) * truth
    alpha = FOCAL_ALPHA * truth + (1 - FOCAL_ALPHA) * (1 - truth)
    focal = (alpha * miss**FOCAL_GAMMA * cross_entropy).mean(1).sum()
    dice = 1 - (2 * (p * truth).sum(1) + 1) / (p.sum(1) + truth.sum(1) + 1)
    return focal / num_boxes, dice.sum() / num_boxes
