"""Data sets in the format of `mdetr scenes clips`: rendered clips with sentences about time."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from . import answers
from .augment import degraded
from .batch import Batch
from .captions import Caption, Spans
from .config import Config
from .data import ATTRIBUTES, attribute_values, prepared, read_picture, target_size
from .matcher import Hidden, Others, Targets
from .remembered import INTERVAL, OLDEST, Remembered
from .tokenizer import PAD_ID
from .words import SYNONYMS

CHANGING, TIMELESS = 2.0, 0.5
"""How much more often captions are drawn to which something answers at some instants only, and
those that say nothing about time."""
RARITY = 0.5
"""Power of its frequency by which a kind of caption is drawn less often for each caption."""


def described(text: str, objects: list[dict]) -> list[int]:
    """The objects that have all attributes which a noun phrase names, whatever else it says."""
    words = [w.strip(".,?!").lower() for w in text.split()]
    words += [w.removesuffix("es") for w in words] + [w.removesuffix("s") for w in words]
    wanted = {
        (attribute, value)
        for attribute, values in ATTRIBUTES.items()
        for value in values
        if any(name in words for name in [value, *SYNONYMS.get(value, [])])
    }
    return [i for i, o in enumerate(objects) if all(o[a] == v for a, v in wanted)]


@dataclass
class Row:
    """A caption at an instant."""

    caption: Caption
    """Tokenised, with what it denotes there."""
    known: bool
    """Whether that is certain."""
    boxes: np.ndarray
    """[M, 4], relative cx cy w h, of the caption's objects."""
    early: list[list[int]]
    """The tokens that name each of them for what knows no past."""
    attributes: list[list[int]]
    """Theirs, in the order of `ATTRIBUTES`."""
    others: list[int]
    """Which other objects are there."""
    other_boxes: np.ndarray
    """[O, 4]."""
    hidden: dict[int, list[int]]
    """The tokens that name each object of the caption that is not seen."""


class ClipFolder:
    """One data set whose pictures all have the same size."""

    def __init__(self, path: Path, tokenizer: Tokenizer, c: Config):
        lines = (path / "clips.jsonl").read_text().splitlines()
        self.path, self.tokenizer, self.config = path, tokenizer, c
        self.clips = [json.loads(line) for line in lines]
        width, height = self.clips[0]["size"]
        self.size = target_size(width, height, c.input)
        self.scale = np.array([width, height, width, height], np.float32)
        counts = [len(clip["frames"]) for clip in self.clips]
        self.first = np.concatenate([[0], np.cumsum(counts)])
        files = [path / f["file"] for clip in self.clips for f in clip["frames"]]
        sizes = [self.size] * len(files)
        (self.pictures,) = prepared(path, self.size, ["frames"], read_picture, files, sizes)
        kinds = Counter(entry["kind"] for clip in self.clips for entry in clip["captions"])
        self.rarity = {k: (count / kinds.total()) ** -RARITY for k, count in kinds.items()}
        n = c.network
        self.heads = answers.classes(n.answers, n.answer_classes, n.answer_attributes)

    def weights(self, clip: int) -> np.ndarray:
        """Chances of a clip's captions."""

        def weight(entry: dict) -> float:
            rarity = self.rarity[entry["kind"]]
            if entry["kind"].endswith("now"):
                return TIMELESS * rarity
            known = [n for n, known in enumerate(entry["known"]) if known]
            answers = [[bool(p["objects"][n]) for n in known] for p in entry["phrases"]]
            changes = any(len(set(of_phrase)) > 1 for of_phrase in answers)
            return (CHANGING if changes else 1.0) * rarity

        weights = np.array([weight(entry) for entry in self.clips[clip]["captions"]])
        return weights / weights.sum()

    def batch(
        self,
        chosen: list[tuple[int, list[int]]],
        rng: np.random.Generator | None = None,
        brightness: float = 0.0,
        faults: float = 0.0,
    ) -> Batch:
        """All instants of clips, each with some of its captions, as many for each clip. Rows are
        clip by clip, instant by instant, caption by caption."""
        c = self.config
        pictures = [self.pictures[self.first[clip] : self.first[clip + 1]] for clip, _ in chosen]
        if rng is not None:
            # A camera's faults stay for the clip.
            seeds = rng.integers(0, 2**31, len(chosen))
            pictures = [
                np.stack(
                    [degraded(p, np.random.default_rng(s), brightness, faults) for p in of_clip]
                )
                for s, of_clip in zip(seeds, pictures, strict=True)
            ]
        images = torch.from_numpy(np.concatenate(pictures)).permute(0, 3, 1, 2).float() / 255
        mean = torch.tensor(c.input.mean)[:, None, None]
        std = torch.tensor(c.input.std)[:, None, None]
        rows = [
            self._row(self.clips[clip], frame, caption)
            for clip, captions in chosen
            for frame in range(len(self.clips[clip]["frames"]))
            for caption in captions
        ]
        captions = [row.caption for row in rows]
        targets = self._targets(rows)
        length = targets.positive.shape[2]
        ids = torch.full((len(rows), length), PAD_ID)
        for b, caption in enumerate(captions):
            ids[b, : len(caption.ids)] = torch.tensor(caption.ids)
        return Batch(
            images=((images - mean) / std).contiguous(memory_format=torch.channels_last),
            input_ids=ids,
            attention_mask=(ids != PAD_ID).long(),
            targets=targets,
            captions=captions,
            answers={h: torch.tensor([x.answer.get(h, -1) for x in captions]) for h in self.heads},
            remembered=self._remembered(chosen),
        )

    def _row(self, clip: dict, frame: int, number: int) -> Row:
        entry = clip["captions"][number]
        at = clip["frames"][frame]
        there = {i: box for i, box in enumerate(at["boxes"]) if box is not None}
        named: dict[int, list[list[int]]] = {}
        early: dict[int, list[list[int]]] = {}
        unseen: dict[int, list[list[int]]] = {}
        truth = []
        for phrase in entry["phrases"]:
            objects = [i for i in phrase["objects"][frame] if i in there]
            words = " ".join(entry["text"][b:e] for b, e in phrase["spans"])
            may = [i for i in described(words, clip["objects"]) if i in there]
            static = all(o == phrase["objects"][0] for o in phrase["objects"])
            may = objects if static and objects else sorted({*may, *objects})
            for i in objects:
                named.setdefault(i, []).extend(phrase["spans"])
            for i in set(phrase["objects"][frame]) - set(there):
                unseen.setdefault(i, []).extend(phrase["spans"])
            for i in may:
                early.setdefault(i, []).extend(phrase["spans"])
            if objects:
                truth.append(phrase["spans"])
        order = [*named, *(i for i in early if i not in named)]
        text = self.config.bundle.normalised(entry["text"])
        encoding = self.tokenizer.encode(text)
        spans = Spans([named.get(i, []) for i in order], truth)
        tokens, phrases = spans.tokens(encoding)
        answer = (entry.get("answer") or [None] * (frame + 1))[frame]
        known = entry["known"][frame]
        first = entry["phrases"][0]["spans"] if entry["phrases"] else []
        second = entry["phrases"][1]["spans"] if len(entry["phrases"]) > 1 else []
        asks = any(a is not None for a in entry.get("answer") or [])
        roles = (
            [
                (
                    int(any(s in first for s in named.get(i, []))),
                    int(any(s in second for s in named.get(i, []))),
                )
                for i in order
            ]
            if asks and known
            else []
        )
        words = self.config.network.answer_attributes or answers.CLEVR_ATTRIBUTES
        asked = asks and known and answer is not None and self.heads
        caption = Caption(
            text=text,
            kind=entry["kind"],
            ids=encoding.ids,
            objects=order,
            tokens=tokens,
            phrases=phrases,
            answer=answers.targets(answer, words, self.heads["reg"]) if asked else {},
            roles=roles,
            spans=spans,
        )
        others = [i for i in there if i not in order]
        boxes = self._relative([there[i] for i in order])
        tokens_early, _ = Spans([early.get(i, []) for i in order], []).tokens(encoding)
        tokens_hidden, _ = Spans(list(unseen.values()), []).tokens(encoding)
        attributes = [attribute_values(clip["objects"][i], clip) for i in order]
        return Row(
            caption=caption,
            known=known,
            boxes=boxes,
            early=tokens_early,
            attributes=attributes,
            others=others,
            other_boxes=self._relative([there[i] for i in others]),
            hidden=dict(zip(unseen, tokens_hidden, strict=True)),
        )

    def _relative(self, boxes: list) -> np.ndarray:
        """Boxes x y w h in pixels as cx cy w h, relative."""
        relative = np.array(boxes, np.float32).reshape(-1, 4) / self.scale
        relative[:, :2] += relative[:, 2:] / 2
        return relative

    def _targets(self, rows: list[Row]) -> Targets:
        length = max(len(row.caption.ids) for row in rows)
        most = max(1, max(len(row.boxes) for row in rows))
        count = len(rows)
        boxes = torch.zeros(count, most, 4)
        objects = torch.full((count, most), -1)
        attributes = torch.full((count, most, len(ATTRIBUTES)), -1)
        roles = torch.full((count, most, 2), -1)
        positive = torch.zeros(count, most, length, dtype=torch.bool)
        early = torch.zeros(count, most, length, dtype=torch.bool)
        known = torch.tensor([row.known for row in rows])
        apart = max(1, max(len(row.others) for row in rows))
        others = Others(torch.zeros(count, apart, 4), torch.full((count, apart), -1))
        lost = max(1, max(len(row.hidden) for row in rows))
        hidden = Hidden(
            torch.full((count, lost), -1), torch.zeros(count, lost, length, dtype=torch.bool)
        )
        for b, row in enumerate(rows):
            for i, (number, tokens) in enumerate(row.hidden.items()):
                hidden.objects[b, i] = number
                hidden.positive[b, i, tokens] = True
            others.boxes[b, : len(row.others)] = torch.from_numpy(row.other_boxes)
            others.objects[b, : len(row.others)] = torch.tensor(row.others, dtype=torch.long)
            caption, m = row.caption, len(row.boxes)
            boxes[b, :m] = torch.from_numpy(row.boxes)
            objects[b, :m] = torch.tensor(caption.objects, dtype=torch.long)
            for i in range(m):
                positive[b, i, caption.tokens[i]] = True
                early[b, i, row.early[i]] = True
                attributes[b, i] = torch.tensor(row.attributes[i])
            if caption.roles:
                roles[b, :m] = torch.tensor(caption.roles)
        valid = positive.any(2) & known[:, None]
        truth = Targets(
            boxes,
            positive,
            valid,
            attributes,
            roles,
            known=known,
            objects=objects,
            others=others,
            hidden=hidden,
        )
        first = replace(
            truth, positive=early, valid=early.any(2), roles=torch.full_like(roles, -1), known=None
        )
        return replace(truth, early=first)

    def _remembered(self, chosen: list[tuple[int, list[int]]]) -> Remembered:
        """Of each row the instants of the clip that a stream remembers then, newest first, as many
        as the network takes."""
        most = max(1, self.config.network.past)
        rows: list[list[int]] = []
        ages: list[list[float]] = []
        start = 0
        for clip, captions in chosen:
            times = [f["time"] for f in self.clips[clip]["frames"]]
            kept: list[int] = []
            for t, now in enumerate(times):
                before = [s for s in reversed(kept) if now - times[s] <= OLDEST][:most]
                age = [now - times[s] for s in before] + [0.0] * (most - len(before))
                before += [t] * (most - len(before))
                for k in range(len(captions)):
                    rows.append([start + s * len(captions) + k for s in before])
                    ages.append(age)
                if not kept or now - times[kept[-1]] >= INTERVAL - 1e-6:
                    kept.append(t)
            start += len(times) * len(captions)
        return Remembered(torch.tensor(rows), torch.tensor(ages, dtype=torch.float32))


class Clips:
    """Several folders; random batches come from one of them at a time, by their sizes."""

    def __init__(self, paths: list[str], tokenizer: Tokenizer, c: Config):
        self.folders = [ClipFolder(Path(p), tokenizer, c) for p in paths]
        sizes = np.array([len(f.clips) for f in self.folders], float)
        self.weights = sizes / sizes.sum()

    def random(
        self,
        rng: np.random.Generator,
        clips: int,
        captions: int,
        brightness: float,
        faults: float,
    ) -> Batch:
        """Random clips with random captions each."""
        folder = self.folders[rng.choice(len(self.folders), p=self.weights)]
        chosen = []
        for i in rng.choice(len(folder.clips), clips, replace=False):
            count = len(folder.clips[i]["captions"])
            p = folder.weights(int(i))
            picks = rng.choice(count, captions, replace=count < captions, p=p)
            chosen.append((int(i), picks.tolist()))
        return folder.batch(chosen, rng, brightness, faults)

    def ordered(self, limit: int) -> Iterator[Batch]:
        """Every clip of every folder up to `limit` a folder, with all its captions."""
        for folder in self.folders:
            for i in range(min(limit, len(folder.clips))):
                yield folder.batch([(i, list(range(len(folder.clips[i]["captions"]))))])
