"""What a network says of a data set's captions, and how often it is right."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .batch import Batch
from .boxes import cxcywh_to_xyxy, iou_and_giou
from .captions import Caption
from .losses import enlarged, matched_masks
from .matcher import Matches, match
from .network import MDETR, Outputs, as_tuple
from .segmentation import DETRsegm, grounding

SCORE_THRESHOLD = 0.7
PHRASE_THRESHOLD = 0.1
"""A box answers to a phrase if the probability of one of its tokens is above it."""
MIN_IOU = 0.5
MASKS_AT_ONCE = 64
"""Masks drawn together, to bound memory."""
SCORES = ("r1", "f1", "qa", "miou", "final")
"""What "score" is the mean of, together with one minus "false"."""


def autocast(device: torch.device | str = "cpu") -> torch.autocast:
    """bf16 matrix products on devices that have them; the others emulate them, many times slower
    than fp32. On processors without AMX with one thread only: with several, oneDNN 3.13 crashes in
    the backward pass of bf16 convolutions."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.autocast(kind, torch.bfloat16, enabled=torch.cuda.is_bf16_supported())
    safe = torch.cpu._is_amx_tile_supported() or torch.get_num_threads() == 1
    enabled = safe and torch.cpu._is_avx512_bf16_supported()
    return torch.autocast("cpu", torch.bfloat16, enabled=enabled)


@dataclass
class Outcome:
    """What a network says of a caption, beside the truth: Q object queries, M objects, P phrases.
    Boxes are relative, x0 y0 x1 y1."""

    caption: Caption
    boxes: Tensor
    """[Q, 4]."""
    scores: Tensor
    """[Q], that there is an object."""
    phrases: Tensor
    """[P, Q], the largest probability of a phrase's tokens."""
    truth: Tensor
    """[M, 4]."""
    named: Tensor
    """[P, M] bool, the objects of each phrase."""
    right: bool
    """Whether a question is answered right; true if none is asked."""
    final: bool | None
    """Whether the box that the caption is about, as the network sees it, is right; None if the data
    does not say."""
    ious: list[float]
    """Of masks, of each matched object that has pixels."""

    def found(self, threshold: float) -> Tensor:
        """[P, Q], which boxes of a score above the threshold answer to each phrase."""
        return (self.scores > threshold) & (self.phrases > PHRASE_THRESHOLD)

    def best(self, phrase: int) -> bool:
        """Whether the box that answers best to a phrase is right."""
        box = self.boxes[self.phrases[phrase].argmax()]
        iou, _ = iou_and_giou(box, self.truth[self.named[phrase]])
        return bool((iou >= MIN_IOU).any())

    def counts(self, phrase: int, threshold: float) -> tuple[int, int, int]:
        """Of a phrase: boxes that are right, boxes that were found, objects."""
        truth = self.truth[self.named[phrase]]
        found = self.found(threshold)[phrase].nonzero()[:, 0]
        found = found[self.scores[found].argsort(descending=True)]
        free, right = torch.ones(len(truth), dtype=torch.bool), 0
        for box in self.boxes[found]:
            iou = iou_and_giou(box, truth)[0] * free
            if len(iou) and iou.max() >= MIN_IOU:
                free[iou.argmax()] = False
                right += 1
        return right, len(found), len(truth)

    def overlaps(self, query: int) -> Tensor:
        """[M], of a box with each object, as intersection over union."""
        return iou_and_giou(self.boxes[query], self.truth)[0]

    @property
    def highest(self) -> float:
        """The greatest score of a box."""
        return float(self.scores.max())


@torch.no_grad()
def outcomes(network: MDETR | DETRsegm, batches: Iterable[Batch]) -> Iterator[Outcome]:
    """What the network says of each caption of which the truth is known."""
    network.eval()
    device = next(network.parameters()).device
    for batch in batches:
        batch = batch.to(device)
        with autocast(device):
            maps = as_tuple(network.vision(batch.images))
            outputs = run(network, maps[0], batch)
        probability = outputs.logits[-1].softmax(-1)
        right = answered(outputs.answers, batch.answers).expand(len(batch.captions))
        masks = batch.scene.maps if batch.scene else batch.targets.masks
        with_masks = network.config.masks and masks is not None
        ious = mask_ious(network, outputs, maps, batch) if with_masks else {}
        corners = cxcywh_to_xyxy(outputs.boxes[-1]).cpu()
        truth = cxcywh_to_xyxy(batch.targets.boxes).cpu()
        final = about(outputs, batch)
        probability = probability.cpu()
        known = batch.targets.known
        for b, caption in enumerate(batch.captions):
            if known is not None and not known[b]:
                continue
            valid = batch.targets.valid[b].cpu()
            positive = batch.targets.positive[b].cpu()[valid]
            per_phrase = [probability[b][:, tokens].amax(1) for tokens in caption.phrases]
            named = [positive[:, tokens].any(1) for tokens in caption.phrases]
            yield Outcome(
                caption=caption,
                boxes=corners[b],
                scores=1 - probability[b, :, -1],
                phrases=torch.stack(per_phrase) if per_phrase else probability.new_zeros(0, 0),
                truth=truth[b][valid],
                named=torch.stack(named) if named else torch.zeros(0, 0, dtype=torch.bool),
                right=bool(right[b]),
                final=final[b] if final else None,
                ious=ious.get(b, []),
            )


def run(network: MDETR | DETRsegm, tokens: Tensor | None, batch: Batch) -> Outputs:
    """The network on image tokens [I, N, d] of the batch's pictures and on its captions; on what
    the decoder gave before without them."""
    if batch.decoded is not None:
        return grounding(network).read(batch.decoded, batch.attention_mask, batch.remembered)
    return network(*fused_with(network, tokens, batch), remembered=batch.remembered)


def fused_with(
    network: MDETR | DETRsegm, tokens: Tensor, batch: Batch
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
    """What the network takes of image tokens [I, N, d] and a batch's captions."""
    k = len(batch.captions) // len(tokens)
    size, padding = batch.images.shape[2:], batch.padding
    position = network.position(*size, padding).to(tokens.device)
    text = network.text(batch.input_ids, batch.attention_mask)
    tokens = tokens.repeat_interleave(k, 0)
    if padding is not None:
        position = position.repeat_interleave(k, 0)
        padding = network.padding(padding).repeat_interleave(k, 0)
    return tokens, position, text, batch.attention_mask, padding


def about(outputs: Outputs, batch: Batch) -> list[bool] | None:
    """Per caption, whether the box that it is about is right, as CLEVR-Ref+ counts it: the box of
    the greatest score times the probability that the caption is about it."""
    targets = batch.targets
    if outputs.final is None or targets.final is None:
        return None
    scores = 1 - outputs.logits[-1].softmax(-1)[..., -1]
    best = (scores * outputs.final[-1].sigmoid()).argmax(1)
    boxes = cxcywh_to_xyxy(outputs.boxes[-1])
    truth = cxcywh_to_xyxy(targets.boxes)
    hits = []
    for b, query in enumerate(best.tolist()):
        wanted = targets.valid[b] & (targets.final[b] > 0)
        _, giou = iou_and_giou(boxes[b, query], truth[b, wanted])
        hits.append(bool((giou >= MIN_IOU).any()))
    return hits


def evaluate(network: MDETR | DETRsegm, batches: Iterable[Batch]) -> dict[str, float]:
    """`metrics` of all captions."""
    return metrics(outcomes(network, batches))


def metrics(found: Iterable[Outcome], threshold: float = SCORE_THRESHOLD) -> dict[str, float]:
    """Per kind of caption: recall at 1 of every phrase ("r1/kind"), of the first phrase alone for
    relations ("acc/kind"), the share of captions that name nothing and have a box above the
    threshold all the same ("false/kind"), and of all of them together ("r1", "false"); how well
    the boxes above the threshold that answer to a phrase are its objects ("f1"); of questions the
    share that is answered right ("qa/kind" and "qa"); of captions about one object among others
    the share whose box is right ("final"); of masks the mean IoU over the matched objects at the
    pictures' prepared size ("miou"); and "score", the mean of what there is."""
    hits: dict[str, list[float]] = defaultdict(list)
    found = list(found)
    for outcome in found:
        caption = outcome.caption
        if caption.answer:
            hits["qa"].append(float(outcome.right))
            hits[f"qa/{caption.kind}"].append(float(outcome.right))
        if outcome.final is not None:
            hits["final"].append(float(outcome.final))
        hits["miou"] += outcome.ious
        if not caption.phrases:
            alarm = float(outcome.highest > threshold)
            hits["false"].append(alarm)
            hits[f"false/{caption.kind}"].append(alarm)
        for p in range(len(caption.phrases)):
            hit = float(outcome.best(p))
            hits["r1"].append(hit)
            hits[f"r1/{caption.kind}"].append(hit)
            if p == 0 and "relation" in caption.kind:
                hits[f"acc/{caption.kind}"].append(hit)
    result = {name: sum(values) / len(values) for name, values in hits.items() if values}
    if "r1" in result:
        result["f1"] = f1(found, threshold)
    parts = [result[name] for name in SCORES if name in result]
    parts += [1 - result["false"]] if "false" in result else []
    if parts:
        result["score"] = sum(parts) / len(parts)
    return dict(sorted(result.items()))


def totals(found: Sequence[Outcome], threshold: float) -> tuple[int, int, int]:
    """`Outcome.counts` of all phrases together."""
    counts = [o.counts(p, threshold) for o in found for p in range(len(o.caption.phrases))]
    right, boxes, objects = (sum(c[i] for c in counts) for i in range(3))
    return right, boxes, objects


def f1(found: Sequence[Outcome], threshold: float) -> float:
    """How well the boxes above a threshold are the phrases' objects; 0 where there are none."""
    right, boxes, objects = totals(found, threshold)
    return 2 * right / (boxes + objects) if objects else 0.0


def quiet_threshold(found: Sequence[Outcome], share: float) -> float | None:
    """The score threshold, in thousandths, that finds things best, by F1, among those that at most
    this share of the captions of nothing have a box above; None if no caption names nothing."""
    highest = sorted((o.highest for o in found if not o.caption.phrases), reverse=True)
    if not highest:
        return None
    allowed = int(share * len(highest))
    above = highest[allowed] if allowed < len(highest) else 0.0
    least = min(999, -(-int(above * 1e6) // 1000))
    # Of equally good ones the middle is farthest from what is worse on either side.
    tried = sorted({least, *(t for t in range(20, 1000, 20) if t > least)})
    scores = [f1(found, t / 1000) for t in tried]
    best = [t for t, score in zip(tried, scores, strict=True) if score == max(scores)]
    return best[len(best) // 2] / 1000


def answered(logits: dict[str, Tensor], targets: dict[str, Tensor]) -> Tensor:
    """Which captions [B] every head that is asked answers right; logits [B, classes] and targets
    [B] by head, -1 where it is not asked. True where none is."""
    right = torch.ones((), dtype=torch.bool)
    for name, found in logits.items():
        best = found[:, 0] > 0 if name == "binary" else found.argmax(-1)
        hit = (best == targets[name]) | (targets[name] < 0)
        right = right.to(hit.device) & hit
    return right


@torch.no_grad()
def mask_ious(
    network: DETRsegm, outputs: Outputs, maps: tuple[Tensor, ...], batch: Batch
) -> dict[int, list[float]]:
    """By caption, the IoU of each matched object's mask with the truth at the prepared picture's
    size, without objects that have no pixel there. `maps` from `vision`."""
    found: dict[int, list[float]] = defaultdict(list)
    m = match(outputs.logits[-1], outputs.boxes[-1], batch.targets)
    owner = m.batch // (len(batch.captions) // len(batch.images))
    padding = None if batch.padding is None else network.padding(batch.padding)
    device = batch.images.device
    for some in torch.arange(len(m.batch), device=device).split(MASKS_AT_ONCE):
        b, image = m.batch[some], owner[some]
        truth = matched_masks(batch, Matches(b, m.query[some], m.target[some])) > 0
        hidden, memory = outputs.hidden[b, m.query[some]], outputs.memory[b]
        with autocast(device):
            logits = network.masks(hidden, memory, image, *maps, padding=padding)
        mask = enlarged(logits.float(), truth.shape[1:]) > 0
        if batch.padding is not None:
            mask &= ~batch.padding[image]
        both = (mask & truth).sum((1, 2))
        either = (mask | truth).sum((1, 2))
        seen = truth.any(2).any(1)
        for caption, iou in zip(b[seen].tolist(), (both / either)[seen].tolist(), strict=True):
            found[caption].append(iou)
    return found
