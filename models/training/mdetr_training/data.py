"""Data sets in the format of `mdetr scenes dataset`, prepared once and held in memory."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from tokenizers import Tokenizer
from tqdm import tqdm

from . import answers
from .augment import degraded
from .batch import Batch, Scene
from .captions import Caption, Spans
from .config import BundleConfig, Config, InputConfig, NetworkConfig
from .matcher import Others, Targets
from .tokenizer import PAD_ID

SHAPES = ["cube", "sphere", "cylinder", "cone"]
SIZES = ["small", "large"]
MATERIALS = ["matte", "shiny"]
COLOURS = ["red", "green", "blue", "yellow", "purple", "cyan", "gray", "brown"]
ATTRIBUTES = {"shape": SHAPES, "size": SIZES, "material": MATERIALS, "colour": COLOURS}

ATTRIBUTE_NAMES = ["shape", "size", "material", "color"]
"""What questions call each of ATTRIBUTES."""

MIN_CELL_SHARE = 0.15
"""A token belongs to the object that covers most of its cell, if that is at least this share."""


def target_size(width: int, height: int, c: InputConfig) -> tuple[int, int]:
    """Width and height after MDETR's resize rule."""
    short, long = min(width, height), max(width, height)
    size = c.short_side
    if long / short * size > c.max_long_side:
        size = round(c.max_long_side * short / long)
    if short == size:
        return width, height
    other = int(size * long / short)
    return (size, other) if width < height else (other, size)


def object_map(scene: dict, size: tuple[int, int]) -> np.ndarray:
    """The object at each pixel of a picture resized to width and height, [H, W]: 0 for none, i + 1
    for object i."""
    width, height = scene["width"], scene["height"]
    full = np.zeros((height, width), np.uint8)
    for i, o in enumerate(scene["objects"], start=1):
        full[coco_mask.decode(o["segmentation"]).astype(bool)] = i
    y = ((np.arange(size[1]) + 0.5) * height / size[1]).astype(int)
    x = ((np.arange(size[0]) + 0.5) * width / size[0]).astype(int)
    return full[y[:, None], x]


def read_picture(path: Path, size: tuple[int, int]) -> np.ndarray:
    """A picture resized to width and height, [H, W, 3]."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BILINEAR))


def prepare_scene(
    path: Path, scene: dict, size: tuple[int, int], stride: int
) -> tuple[np.ndarray, np.ndarray]:
    """The resized picture [H, W, 3] and the object under each token [N]."""
    with Image.open(path) as image:
        width, height = image.size
    picture = read_picture(path, size)
    rows, columns = -(-size[1] // stride), -(-size[0] // stride)
    y = ((np.arange(height) + 0.5) * size[1] / height / stride).astype(int)
    x = ((np.arange(width) + 0.5) * size[0] / width / stride).astype(int)
    cell = y[:, None] * columns + x[None, :]
    full = np.bincount(cell.ravel(), minlength=rows * columns)
    share = np.stack(
        [
            np.bincount(
                cell[coco_mask.decode(o["segmentation"]).astype(bool)], minlength=rows * columns
            )
            / full
            for o in scene["objects"]
        ]
    )
    best = share.argmax(0)
    cells = np.where(share.max(0) >= MIN_CELL_SHARE, best + 1, 0)
    for i in np.argsort([-o["area"] for o in scene["objects"]]):
        cells[share[i].argmax()] = i + 1
    return picture, cells.astype(np.uint8)


def prepared(
    path: Path, size: tuple[int, int], parts: list[str], work: Callable, *arguments: list
) -> list[np.ndarray]:
    """Arrays kept in files of a data set, for pictures of a size, made by calling `work`, which
    gives a row of each, on each picture's arguments."""
    stem = f"prepared-{size[0]}x{size[1]}"
    files = [path / f"{stem}-{part}.npy" for part in parts]
    if not all(f.exists() for f in files):
        count = len(arguments[0])
        partial = [f.with_suffix(".partial.npy") for f in files]
        arrays: list[np.ndarray] = []
        with ProcessPoolExecutor() as pool:
            rows = pool.map(work, *arguments, chunksize=64)
            rows = tqdm(rows, total=count, desc=f"preparing {path.name}")
            for i, row in enumerate(rows):
                row = row if isinstance(row, tuple) else (row,)
                arrays = arrays or [
                    np.lib.format.open_memmap(f, "w+", value.dtype, (count, *value.shape))
                    for f, value in zip(partial, row, strict=True)
                ]
                for array, value in zip(arrays, row, strict=True):
                    array[i] = value
        for array, source, target in zip(arrays, partial, files, strict=True):
            array.flush()
            source.rename(target)
    return [np.load(f, mmap_mode="r") for f in files]


def attribute_values(o: dict, scene: dict) -> list[int]:
    """Of an object the index of its value of each attribute, -1 where nobody could tell."""
    untold = [] if scene.get("tells_materials", True) else ["material"]
    return [-1 if k in untold else v.index(o[k]) for k, v in ATTRIBUTES.items()]


class Folder:
    """One data set whose pictures all have the same size."""

    def __init__(self, path: Path, tokenizer: Tokenizer, c: Config, stride: int):
        scenes = json.loads((path / "scenes.json").read_text())["scenes"]
        annotations = json.loads((path / "annotations.json").read_text())
        width, height = scenes[0]["width"], scenes[0]["height"]
        self.size = target_size(width, height, c.input)
        self.path = path
        self.pictures, self.cells = self._pictures(scenes, stride)
        self.maps = self._maps(scenes) if any(s.mask_objects for s in c.stages) else None
        count = max(len(s["objects"]) for s in scenes)
        self.boxes = np.zeros((len(scenes), count, 4), np.float32)
        self.attributes = np.full((len(scenes), count, len(ATTRIBUTES)), -1, np.int64)
        for i, scene in enumerate(scenes):
            for j, o in enumerate(scene["objects"]):
                x, y, w, h = o["bbox"]
                self.boxes[i, j] = (x + w / 2, y + h / 2, w, h)
                self.attributes[i, j] = attribute_values(o, scene)
        self.boxes /= np.array([width, height, width, height], np.float32)
        n = c.network
        self.heads = answers.classes(n.answers, n.answer_classes, n.answer_attributes)
        texts = self._texts(annotations, c.bundle)
        self.captions = self._captions(annotations, texts, tokenizer, n)

    def _pictures(self, scenes: list[dict], stride: int) -> tuple[np.ndarray, np.ndarray]:
        paths = [self.path / "images" / s["file_name"] for s in scenes]
        count = len(scenes)
        arguments = paths, scenes, [self.size] * count, [stride] * count
        parts = [f"{stride}-pictures", f"{stride}-cells"]
        pictures, cells = prepared(self.path, self.size, parts, prepare_scene, *arguments)
        return pictures, cells

    def _maps(self, scenes: list[dict]) -> np.ndarray:
        sizes = [self.size] * len(scenes)
        (maps,) = prepared(self.path, self.size, ["objects"], object_map, scenes, sizes)
        return maps

    def _texts(self, annotations: dict, c: BundleConfig) -> list[str]:
        """The captions as the tokenizer takes them; spans must hold in them too."""
        texts = []
        for entry in annotations["images"]:
            caption = entry["caption"]
            text = c.normalised(caption)
            if len(text) != len(caption):
                place = f"{self.path / 'annotations.json'}: images, id {entry['id']}"
                raise ValueError(
                    f"{place}: caption {caption!r}: expected {len(caption)} characters in "
                    f"{c.case} case too, found {len(text)}; write the caption in {c.case} case"
                )
            texts.append(text)
        return texts

    def _captions(
        self, annotations: dict, texts: list[str], tokenizer: Tokenizer, c: NetworkConfig
    ) -> list[list[Caption]]:
        boxes = defaultdict(list)
        for annotation in annotations["annotations"]:
            boxes[annotation["image_id"]].append(annotation)
        captions: list[list[Caption]] = [[] for _ in self.attributes]
        entries = annotations["images"]
        encodings = tokenizer.encode_batch(texts)
        for entry, text, encoding in zip(entries, texts, encodings, strict=True):
            named = boxes[entry["id"]]
            objects = [a["object"] for a in named]
            spans = Spans([a["tokens_positive"] for a in named], entry["tokens_positive_eval"])
            tokens, phrases = spans.tokens(encoding)
            image = entry["original_img_id"]
            kind = entry["dataset_name"].removeprefix("tabletop-")
            compared = None
            if kind == "compare-attribute" and c.answers:
                compared = self._compared(entry["caption"], self.attributes[image, objects], c)
            captions[image].append(
                Caption(
                    text=text,
                    kind=kind,
                    ids=encoding.ids,
                    objects=objects,
                    tokens=tokens,
                    phrases=phrases,
                    answer=self._answer(entry, c),
                    compared=compared,
                    roles=phrase_roles(entry, kind, spans) if c.answers else [],
                    spans=spans,
                )
            )
        return captions

    def _answer(self, entry: dict, c: NetworkConfig) -> dict[str, int]:
        """Class by answer head; empty if the caption or the network has no answer."""
        if "answer" not in entry or not c.answers:
            return {}
        words = c.answer_attributes or answers.CLEVR_ATTRIBUTES
        try:
            if c.answers != "clevr":
                raise ValueError(f'network.answers: expected "clevr", found {c.answers!r}')
            return answers.targets(entry["answer"], words, self.heads["reg"])
        except ValueError as error:
            place = f"{self.path / 'annotations.json'}: images, id {entry['id']}"
            raise ValueError(f"{place}: {error}") from error

    def _compared(
        self, text: str, attributes: np.ndarray, c: NetworkConfig
    ) -> tuple[int, int] | None:
        """Classes of the attribute that the text asks about, of the objects' [2, 4] attributes;
        None if the network's answers lack one, or there are not two objects."""
        words = c.answer_attributes or answers.CLEVR_ATTRIBUTES
        asked = [i for i, names in enumerate(ATTRIBUTE_NAMES) if f"same {names}" in text]
        if len(asked) != 1 or len(attributes) != 2:
            return None
        values = list(ATTRIBUTES.values())[asked[0]]
        first, second = (values[a[asked[0]]] for a in attributes)
        if first not in words or second not in words:
            return None
        return words.index(first), words.index(second)

    def batch(
        self,
        indices: np.ndarray,
        captions: list[list[Caption]],
        c: InputConfig,
        rng: np.random.Generator | None = None,
        brightness: float = 0.0,
        faults: float = 0.0,
    ) -> Batch:
        """A batch of these images with these captions."""
        pictures = self.pictures[indices]
        if rng is not None:
            pictures = np.stack([degraded(p, rng, brightness, faults) for p in pictures])
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
        mean = torch.tensor(c.mean)[:, None, None]
        std = torch.tensor(c.std)[:, None, None]
        flat = [caption for of_image in captions for caption in of_image]
        length = max(len(x.ids) for x in flat)
        most = max(1, max(len(x.objects) for x in flat))
        ids = torch.full((len(flat), length), PAD_ID)
        mask = torch.zeros((len(flat), length), dtype=torch.long)
        boxes = torch.zeros(len(flat), most, 4)
        positive = torch.zeros(len(flat), most, length, dtype=torch.bool)
        valid = torch.zeros(len(flat), most, dtype=torch.bool)
        attributes = torch.full((len(flat), most, len(ATTRIBUTES)), -1)
        roles = torch.full((len(flat), most, 2), -1)
        objects = torch.full((len(flat), self.boxes.shape[1]), -1)
        compared = torch.tensor([x.compared or (-1, -1) for x in flat])
        asked = {h: torch.tensor([x.answer.get(h, -1) for x in flat]) for h in self.heads}
        image_of = [i for i, of_image in zip(indices, captions, strict=True) for _ in of_image]
        for b, (image, x) in enumerate(zip(image_of, flat, strict=True)):
            ids[b, : len(x.ids)] = torch.tensor(x.ids)
            mask[b, : len(x.ids)] = 1
            for m, (o, tokens) in enumerate(zip(x.objects, x.tokens, strict=True)):
                boxes[b, m] = torch.from_numpy(self.boxes[image, o])
                positive[b, m, tokens] = True
                valid[b, m] = True
                attributes[b, m] = torch.from_numpy(self.attributes[image, o])
                objects[b, o] = m
            if x.roles:
                roles[b, : len(x.roles)] = torch.tensor(x.roles)
        of_row = torch.from_numpy(self.boxes[image_of])
        numbers = torch.arange(of_row.shape[1]).expand(len(flat), -1)
        unnamed = (objects < 0) & (of_row[..., 2] > 0)
        others = Others(of_row, torch.where(unnamed, numbers, -1))
        return Batch(
            images=((images - mean) / std).contiguous(memory_format=torch.channels_last),
            input_ids=ids,
            attention_mask=mask,
            targets=Targets(boxes, positive, valid, attributes, roles, others=others),
            captions=flat,
            answers=asked,
            scene=Scene(
                objects=objects,
                cells=torch.from_numpy(self.cells[indices].astype(np.int64)),
                boxes=torch.from_numpy(self.boxes[indices]),
                attributes=torch.from_numpy(self.attributes[indices]),
                maps=None if self.maps is None else torch.from_numpy(self.maps[indices]),
                compared=compared,
            ),
        )


def phrase_roles(entry: dict, kind: str, spans: Spans) -> list[tuple[int, int]]:
    """Per object of `spans`, whether it answers to the first and to the second phrase of a
    question; empty if the caption asks nothing. `entry` is the caption's in the annotations, which
    leave out phrases that ground nothing: that the first is one follows from the answer, or from
    where the two that a comparison of numbers joins are."""
    if "answer" not in entry:
        return []
    phrases = spans.phrases
    if kind == "compare-number":
        text = entry["caption"]
        middle = max(text.rfind(" than "), text.rfind(" as "))
        first = [p for p in phrases if p[0][0] < middle]
    elif kind in ("count", "exist") and entry["answer"] in ("0", "no"):
        first = []
    else:
        first = phrases[:1]
    second = phrases[len(first) :][:1]

    def answers_to(named: list[list[int]], of: list[list[list[int]]]) -> int:
        return int(any(span in phrase for span in named for phrase in of))

    return [(answers_to(o, first), answers_to(o, second)) for o in spans.objects]


def foreign_text(rng: np.random.Generator) -> str:
    """A phrase about something that no scene shows: its noun is a word of random letters."""
    syllables = ["".join(rng.choice(list(part)) for part in SYLLABLE) for _ in range(4)]
    noun = "".join(syllables[: rng.integers(1, 4)]) + rng.choice(["", "s", "n", "r", "t"])
    article = rng.choice(["a ", "the ", "all ", "every ", ""])
    known = [v for v in (SIZES, COLOURS, MATERIALS) if rng.random() < 0.25]
    return article + "".join(f"{rng.choice(v)} " for v in known) + noun


SYLLABLE = ("bcdfghjklmnpqrstvwz", "aeiou")


class Data:
    """Several folders; random batches come from one of them at a time, by their sizes."""

    def __init__(self, paths: list[str], tokenizer: Tokenizer, c: Config, stride: int):
        self.input = c.input
        self.tokenizer = tokenizer
        self.folders = [Folder(Path(p), tokenizer, c, stride) for p in paths]
        sizes = np.array([len(f.pictures) for f in self.folders], float)
        self.weights = sizes / sizes.sum()

    def random(
        self,
        rng: np.random.Generator,
        images: int,
        captions: int,
        brightness: float,
        foreign: float,
        faults: float = 0.0,
        typos: float = 0.0,
    ) -> Batch:
        """`images` random images with `captions` random captions each, of which the share
        `foreign` is about something that the tokenizer's language does not know, and the share
        `typos` of the others has a typo."""
        folder = self.folders[rng.choice(len(self.folders), p=self.weights)]
        indices = rng.choice(len(folder.pictures), images, replace=False)
        chosen = []
        for i in indices:
            available = folder.captions[i]
            picks = rng.choice(len(available), captions, replace=len(available) < captions)
            chosen.append([])
            for pick in picks:
                caption = self.foreign(rng) if rng.random() < foreign else available[pick]
                if rng.random() < typos:
                    caption = caption.with_typo(rng, self.tokenizer)
                chosen[-1].append(caption)
        return folder.batch(indices, chosen, self.input, rng, brightness, faults)

    def foreign(self, rng: np.random.Generator) -> Caption:
        """A caption that names nothing in the picture."""
        text = foreign_text(rng)
        ids = self.tokenizer.encode(text).ids
        return Caption(text=text, kind="foreign", ids=ids, objects=[], tokens=[], phrases=[])

    def ordered(self, images: int, limit: int) -> Iterator[Batch]:
        """Every image of every folder up to `limit` a folder, with all its captions."""
        for folder in self.folders:
            count = min(len(folder.pictures), limit)
            for start in range(0, count, images):
                indices = np.arange(start, min(start + images, count))
                yield folder.batch(indices, [folder.captions[i] for i in indices], self.input)
