"""What a data set has, and what is wrong with it."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from tqdm import tqdm

from ..config import Config, SourceConfig
from .detection import Absent
from .loader import too_long
from .open import open_source, share_phrases
from .problems import Found
from .read import PictureError, picture_size, read_picture
from .source import GQA_TYPES, Answering, Entry, Source

OUTSIDE = 1.0
"""Pixels that a box may reach outside the picture before it is worth a word."""
MOST_SHOWN = 10
"""Phrases that are listed."""


class AnyAnswers(Answering):
    """Answers of every kind: GQA's where a question has a type, otherwise CLEVR's."""

    def __init__(self, attributes: Sequence[str] = ()):
        super().__init__("clevr", attributes=list(attributes) or ())

    def with_table(self, path: str) -> "AnyAnswers":
        found = AnyAnswers(self.attributes)
        try:
            table = json.loads(Path(path).read_text())
            heads = {kind: len(table[f"answer_{kind}"]) for kind in GQA_TYPES}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: expected GQA's answers by type, found: {error}") from error
        found.table = Answering("gqa", heads).with_table(path).table
        return found

    def known(self, answer: Any, question_type: Any) -> bool:
        return not self.table or question_type is None or answer in self.table[question_type]

    def classes(self, answer: Any, question_type: Any) -> dict[str, int]:
        if question_type is None:
            return super().classes(answer, None)
        if not self.table and question_type in GQA_TYPES:
            return {}
        gqa = Answering("gqa")
        gqa.table = self.table
        return gqa.classes(answer, question_type)


@dataclass
class Looked:
    """What a picture file has."""

    size: tuple[int, int] | None = None
    content: bytes | None = None
    """A hash of the pixels."""


@dataclass
class Summary:
    """What one data set has."""

    name: str
    kind: str
    captions: int = 0
    absent: int = 0
    """Captions that name nothing."""
    objects: list[int] = field(default_factory=list)
    """Of each caption."""
    phrases: Counter[str] = field(default_factory=Counter)
    questions: int = 0
    pictures: dict[str, tuple[str, Any]] = field(default_factory=dict)
    """The place of the first record of each path, and the picture's original id."""
    sides: list[float] = field(default_factory=list)
    """Geometric mean of each box's sides, as a share of the picture's."""

    def lines(self, looked: dict[str, Looked]) -> list[str]:
        """A report."""
        count = max(self.captions, 1)
        found = [
            f"{self.name}: {self.kind}",
            f"    {len(self.pictures)} pictures, {self.captions} captions, "
            f"{sum(self.objects)} objects",
        ]
        if self.questions:
            found.append(f"    {self.questions} questions with an answer")
        if self.objects:
            found.append(
                f"    objects per caption: {sum(self.objects) / count:.2f}, at most "
                f"{max(self.objects)}; captions that name nothing there: "
                f"{100 * self.absent / count:.1f} %"
            )
        if self.phrases:
            top = ", ".join(f"{p!r} {n}" for p, n in self.phrases.most_common(MOST_SHOWN))
            found.append(f"    {len(self.phrases)} phrases: {top}")
        sizes = Counter(looked[p].size for p in self.pictures if looked[p].size)
        if sizes:
            common = ", ".join(f"{w} x {h} ({n})" for (w, h), n in sizes.most_common(3))
            found.append(f"    {len(sizes)} sizes of pictures: {common}")
        if self.sides:
            low, middle, high = np.percentile(self.sides, [5, 50, 95])
            found.append(
                f"    boxes' sides as shares of the picture's: {low:.3f} to {high:.3f} for nine "
                f"of ten, median {middle:.3f}"
            )
        return found


KIND_NAMES = {
    "Grounding": "captions with the words of each object",
    "Categories": "objects of categories (COCO)",
    "Yolo": "objects of categories (YOLO)",
    "Absent": "pictures that show nothing",
}


class Check:
    """A check of data sets to train on and of others to validate on."""

    def __init__(
        self,
        train: Sequence[SourceConfig],
        val: Sequence[SourceConfig] = (),
        tokenizer: Tokenizer | None = None,
        attributes: Sequence[str] = (),
        with_masks: bool = False,
    ):
        self.found = Found()
        self.answering = AnyAnswers(attributes)
        self.with_masks = with_masks
        self.tokenizer = tokenizer
        self.train, self.val = self._open(train), self._open(val)
        self.looked: dict[str, Looked] = {}
        try:
            share_phrases([*self.train, *self.val])
        except ValueError as error:
            self.found.add("nothing", "", str(error))
        if tokenizer is not None:
            for source in (*self.train, *self.val):
                for place, message in too_long(source, tokenizer, Config()):
                    self.found.add("long", place, message)

    def _open(self, configs: Sequence[SourceConfig]) -> list[Source]:
        sources = []
        for config in configs:
            try:
                source = open_source(config, self.found, self.answering, self.with_masks)
            except (ValueError, OSError) as error:
                self.found.add("entry", str(error))
                continue
            sources.append(source)
        return sources

    def run(self, quick: bool = False, threads: int = 8) -> list[str]:
        """Look at every picture and every record; a report of what is there. What is wrong is then
        in `found`. `quick`: only the pictures' headers."""
        self._look(quick, threads)
        train, val = ([self._summary(s) for s in part] for part in (self.train, self.val))
        self._leaks(train, val)
        return [line for summary in (*train, *val) for line in summary.lines(self.looked)]

    def _look(self, quick: bool, threads: int) -> None:
        paths: dict[str, str] = {}
        for source in (*self.train, *self.val):
            for entry in records(source, Found()):
                paths.setdefault(entry.picture, entry.place)
        with ThreadPoolExecutor(threads) as pool:
            results = pool.map(lambda path: look(path, quick), paths)
            bar = tqdm(results, "headers" if quick else "pictures", len(paths), disable=None)
            for path, result in zip(paths, bar, strict=True):
                if isinstance(result, PictureError):
                    where = "" if paths[path] == path else f"{paths[path]}: "
                    self.found.add(result.kind, f"{where}{result}")
                    result = Looked()
                self.looked[path] = result

    def _summary(self, source: Source) -> Summary:
        name = source.config.annotations
        summary = Summary(name, KIND_NAMES[type(source).__name__])
        for entry in records(source, self.found):
            looked = self.looked[entry.picture]
            if entry.picture not in summary.pictures and looked.size and entry.size:
                self._compare_size(entry, looked.size)
            summary.pictures.setdefault(entry.picture, (entry.place, entry.original_id))
            if isinstance(source, Absent):
                continue
            summary.captions += 1
            summary.objects.append(len(entry.boxes))
            summary.absent += not len(entry.boxes)
            summary.questions += bool(entry.answer)
            self._check_caption(entry, summary)
            size = looked.size or entry.size
            if size:
                self._check_boxes(entry, size, summary)
        return summary

    def _compare_size(self, entry: Entry, size: tuple[int, int]) -> None:
        if entry.size != size:
            (width, height), (found_width, found_height) = entry.size, size
            self.found.add(
                "size",
                entry.place,
                f"{entry.picture}: expected {width} x {height}, "
                f"found {found_width} x {found_height}",
            )

    def _check_caption(self, entry: Entry, summary: Summary) -> None:
        text = entry.caption
        if not text.strip() and entry.kind not in ("category", "absent"):
            self.found.add("no-caption", entry.place)
        for spans in (*entry.spans, *(entry.phrases or ())):
            for begin, end in spans:
                if not 0 <= begin < end <= len(text):
                    message = f"[{begin}, {end}] in a caption of {len(text)} characters"
                    self.found.add("span-outside", entry.place, message)
                elif cuts_word(text, begin) or cuts_word(text, end):
                    shown = f"{text[max(begin - 8, 0) : begin]}[{text[begin:end]}]"
                    self.found.add("span-cuts", entry.place, f"{shown}{text[end : end + 8]}")
        for spans in entry.spans:
            phrase = " ".join(text[b:e] for b, e in spans if 0 <= b < e).strip()
            if phrase:
                summary.phrases[phrase] += 1
            else:
                self.found.add("no-words", entry.place)

    def _check_boxes(self, entry: Entry, size: tuple[int, int], summary: Summary) -> None:
        scale = np.array([*size, *size], np.float32)
        boxes = entry.boxes * scale if entry.relative else entry.boxes
        for x, y, width, height in boxes.tolist():
            right, bottom = x + width, y + height
            beyond = max(-x, -y, right - size[0], bottom - size[1])
            if beyond > OUTSIDE:
                message = f"box {x:.1f} {y:.1f} {right:.1f} {bottom:.1f} in {size[0]} x {size[1]}"
                self.found.add("outside", entry.place, message)
            area = max(width, 0) * max(height, 0) / (size[0] * size[1])
            summary.sides.append(area**0.5)

    def _leaks(self, train: Sequence[Summary], val: Sequence[Summary]) -> None:
        """Pictures of `val` that are in `train`: by content, path, or original id and file name,
        unless the contents are known and differ."""
        contents, paths, named = {}, {}, {}
        for summary in train:
            for path, (_, original) in summary.pictures.items():
                contents.setdefault(self.looked[path].content, path)
                paths.setdefault(os.path.realpath(path), path)
                if original is not None:
                    named.setdefault((original, os.path.basename(path)), path)
        contents.pop(None, None)
        for summary in val:
            for path, (place, original) in summary.pictures.items():
                content = self.looked[path].content
                twin = contents.get(content) or paths.get(os.path.realpath(path))
                other = named.get((original, os.path.basename(path)))
                if other and not (content and self.looked[other].content):
                    twin = twin or other
                if twin is not None:
                    self.found.add("leak", place, f"{path}: the same as {twin}")


def records(source: Source, found: Found) -> Iterator[Entry]:
    """Every record that can be read; the others are reported."""
    for i in range(source.records):
        try:
            yield source.record(i)
        except ValueError as error:
            found.add("entry", str(error))


def look(path: str, quick: bool) -> Looked | PictureError:
    """A picture's size and, unless in haste, a hash of its pixels."""
    try:
        if quick:
            return Looked(picture_size(path))
        picture = read_picture(path)
    except PictureError as error:
        return error
    content = hashlib.blake2b(picture.tobytes(), digest_size=16, key=str(picture.size).encode())
    return Looked(picture.size, content.digest())


def cuts_word(text: str, at: int) -> bool:
    """Whether the place is between two letters or digits."""
    return 0 < at < len(text) and text[at - 1].isalnum() and text[at].isalnum()
