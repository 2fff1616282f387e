"""Annotation files in COCO's format: MDETR's, whose pictures have captions, and those of plain
detection; and CLEVR's questions."""

import os
import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..config import SourceConfig
from . import masks
from . import names as naming
from .detection import Detection, Shown
from .jsonstream import ARRAY, stream
from .packed import Groups, Packed
from .problems import FatalError, Problems
from .source import Answering, Entry, Source, spread

IDS = ("original_img_id", "original_id"), ("sentence_id",), ("task_id", "questionId")
"""What names the picture as it was before it got several captions, the sentence, and the question
that is asked: the first of these that is there."""
LOOKED_AT = 20
"""Pictures that are looked for where no folder is given."""
MOST_PIXELS = 1e12
"""A length or an area beyond is no number of pixels."""
MOST_PHRASE = 60
"""Characters of a phrase that is worth asking of other pictures."""


@dataclass
class Image:
    """What the annotations say of a picture; several may be about the same file."""

    file: str
    folder: str
    caption: str | None
    phrases: list[list[list[int]]] | None
    kind: str | None
    ids: tuple[Any, ...]
    size: tuple[int, int] | None
    answer: dict[str, int]
    absent: list[int] | None


@dataclass
class Content:
    """An annotation file, packed."""

    images: Packed = field(default_factory=Packed)
    image_ids: array = field(default_factory=lambda: array("q"))
    objects: Packed = field(default_factory=Packed)
    object_ids: array = field(default_factory=lambda: array("q"))
    object_images: array = field(default_factory=lambda: array("q"))
    object_categories: array = field(default_factory=lambda: array("q"))
    wordless: array = field(default_factory=lambda: array("q"))
    """Numbers of the objects that say nothing of words."""
    categories: dict[int, str] = field(default_factory=dict)
    members: set[str] = field(default_factory=set)
    captions: int = 0
    lengths: array = field(default_factory=lambda: array("l"))
    """Bytes of each caption."""


def whole(value: Any, name: str) -> int:
    """A whole number; otherwise raises ValueError."""
    if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"{name}: expected a whole number, found {value!r}")
    return value


def text(value: Any, name: str) -> str:
    """Text; otherwise raises ValueError."""
    if not isinstance(value, str) or _surrogate(value):
        raise ValueError(f"{name}: expected text, found {value!r}")
    return value


def _surrogate(value: str) -> bool:
    return not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value)


def identity(value: Any, name: str) -> int | str | None:
    """A number or a name of something, or nothing; otherwise raises ValueError."""
    if not isinstance(value, int | str | None):
        raise ValueError(f"{name}: expected a number or text, found {str(value)[:80]}")
    return value


def spans(value: Any, name: str) -> list[list[int]]:
    """Begins and ends of words; otherwise raises ValueError."""
    if not isinstance(value, list) or not all(
        isinstance(s, list | tuple)
        and len(s) == 2
        and all(type(n) is int and abs(n) < 1 << 31 for n in s)
        for s in value
    ):
        raise ValueError(f"{name}: expected pairs of whole numbers, found {str(value)[:80]}")
    return [list(s) for s in value]


class Reader:
    """Reads an annotation file entry by entry. What is wrong goes to `problems`."""

    def __init__(self, path: Path, problems: Problems, answering: Answering, with_masks: bool):
        self.path, self.problems = path, problems
        self.answering, self.with_masks = answering, with_masks
        self.content = Content()

    def read(self) -> Content:
        take = {
            "images": self._image,
            "annotations": self._object,
            "categories": self._category,
            "questions": self._question,
        }
        counts = dict.fromkeys(take, 0)
        for member, value in stream(self.path):
            self.content.members.add(member)
            if member not in take or value is ARRAY:
                continue
            counts[member] += 1
            place = f"{self.path}: {member}[{counts[member] - 1}]"
            try:
                if not isinstance(value, dict):
                    raise ValueError(f"expected a table, found {str(value)[:80]}")
                take[member](value, place)
            except FatalError:
                raise
            except (ValueError, TypeError, OverflowError) as error:
                self.problems.add("entry", place, str(error))
        self.content.images.freeze()
        self.content.objects.freeze()
        return self.content

    def _image(self, value: dict, place: str) -> None:
        number = whole(value.get("id"), "id")
        caption = value.get("caption")
        size = value.get("width"), value.get("height")
        phrases = value.get("tokens_positive_eval")
        if phrases is not None:
            if not isinstance(phrases, list):
                raise ValueError(f"tokens_positive_eval: expected a list, found {phrases!r}")
            phrases = [spans(p, "tokens_positive_eval") for p in phrases]
        absent = value.get("neg_category_ids")
        if absent is not None:
            more = value.get("not_exhaustive_category_ids") or []
            absent = sorted({whole(n, "neg_category_ids") for n in absent} - {*more})
        image = Image(
            file=text(value.get("file_name"), "file_name"),
            folder=text(value.get("data_source") or "", "data_source"),
            caption=None if caption is None else text(caption, "caption"),
            phrases=phrases,
            kind=value.get("dataset_name"),
            ids=tuple(
                next((identity(value[n], n) for n in names if value.get(n) is not None), None)
                for names in IDS
            ),
            size=size if all(type(n) is int for n in size) else None,
            answer=self._answer(value, place),
            absent=absent,
        )
        self._add_image(number, image)

    def _question(self, value: dict, place: str) -> None:
        index = value.get("question_index", len(self.content.image_ids))
        image = Image(
            file=text(value.get("image_filename"), "image_filename"),
            folder="",
            caption=text(value.get("question"), "question"),
            phrases=[],
            kind="question",
            ids=(identity(value.get("image_index"), "image_index"), None, index),
            size=None,
            answer=self._answer(value, place),
            absent=None,
        )
        self._add_image(whole(index, "question_index"), image)

    def _add_image(self, number: int, image: Image) -> None:
        self.content.captions += image.caption is not None
        self.content.lengths.append(len((image.caption or "").encode(errors="replace")))
        self.content.image_ids.append(number)
        self.content.images.append(tuple(vars(image).values()))

    def _answer(self, value: dict, place: str) -> dict[str, int]:
        answer, kind = value.get("answer"), value.get("question_type")
        if answer is None or not self.answering.kind:
            return {}
        try:
            if not isinstance(answer, str | int):
                raise ValueError(f"answer: expected text, found {answer!r}")
            if not isinstance(kind, str | None):
                raise ValueError(f"question_type: expected text, found {kind!r}")
            found = self.answering.classes(answer, kind)
        except ValueError as error:
            self.problems.add("answer", place, str(error))
            return {}
        if not self.answering.known(answer, kind):
            self.problems.add("unknown-answer", place, repr(answer))
        return found

    def _category(self, value: dict, place: str) -> None:
        number, name = whole(value.get("id"), "id"), text(value.get("name"), "name")
        if number in self.content.categories:
            raise ValueError(f"id: expected another one for each category, found {number} again")
        self.content.categories[number] = name

    def _object(self, value: dict, place: str) -> None:
        image = whole(value.get("image_id"), "image_id")
        box = value.get("bbox")
        if not isinstance(box, list) or len(box) != 4 or not all(map(_number, box)):
            raise ValueError(f"bbox: expected x, y, width and height, found {str(box)[:80]}")
        if not all(map(_bounded, box)):
            self.problems.add("not-finite", place, f"bbox: expected numbers, found {box}")
            return
        tokens = value.get("tokens", value.get("tokens_positive"))
        final = value.get("isfinal")
        area = value.get("area")
        segmentation = value.get("segmentation") if self.with_masks else None
        crowd = bool(value.get("iscrowd", 0))
        if self.with_masks and not crowd:
            try:
                segmentation = masks.checked(segmentation)
            except (ValueError, TypeError) as error:
                self.problems.add("mask", place, str(error))
                return
            if not segmentation:
                self.problems.add("empty-mask", place)
        if box[2] <= 0 or box[3] <= 0:
            self.problems.add("empty", place, f"bbox {box}")
        category = whole(value.get("category_id", -1), "category_id")
        self.content.objects.append(
            (
                np.array(box, np.float32).tobytes(),
                float(area) if _number(area) and _bounded(area) else float(box[2]) * float(box[3]),
                None if tokens is None else spans(tokens, "tokens_positive"),
                None if final is None else float(final),
                category,
                crowd,
                segmentation,
            )
        )
        number = value.get("id")
        self.content.object_ids.append(number if type(number) is int else -1)
        self.content.object_images.append(image)
        self.content.object_categories.append(category)
        if tokens is None and not crowd:
            self.content.wordless.append(len(self.content.object_ids) - 1)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bounded(value: float) -> bool:
    return -MOST_PIXELS < value < MOST_PIXELS


class Annotated(Source):
    """An annotation file's pictures and the objects of each."""

    def __init__(self, config: SourceConfig, content: Content, problems: Problems):
        self.config = config
        self.path = Path(config.annotations)
        self.images, self.objects = content.images, content.objects
        ids = np.array(content.image_ids, np.int64)
        self._report_repeated(ids, "duplicate-id", problems)
        numbered = np.array(content.object_ids, np.int64)
        self._report_repeated(numbered[numbered >= 0], "duplicate-annotation", problems)
        owners = np.array(content.object_images, np.int64)
        image = positions(ids, owners)
        for owner in owners[image < 0]:
            problems.add("orphan", f"{self.path}: annotations with image_id {owner}")
        self.groups = Groups(image, len(ids))
        self.ids = ids
        self.folders = folders(config, self.images)

    def _report_repeated(self, ids: np.ndarray, kind: str, problems: Problems) -> None:
        different, counts = np.unique(ids, return_counts=True)
        for number in different[counts > 1]:
            problems.add(kind, f"{self.path}: id {number}")

    def image(self, index: int) -> Image:
        return Image(*self.images[index])

    def place(self, index: int) -> str:
        return f"{self.path}: images, id {self.ids[index]}"

    def picture(self, image: Image) -> str:
        """Path of a picture."""
        if "" in self.folders:
            return os.path.join(self.folders[""], image.file)
        if image.folder not in self.folders:
            raise ValueError(
                f"{self.path}: {image.file}: data_source {image.folder!r}: expected one of "
                f"{', '.join(self.folders)}; add its folder to `pictures`"
            )
        return os.path.join(self.folders[image.folder], image.file)


def positions(ids: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each of the wanted [M] is among the ids [N]; -1 where it is not."""
    if not len(ids):
        return np.full(len(wanted), -1)
    order = np.argsort(ids, kind="stable")
    at = order[np.searchsorted(ids[order], wanted).clip(max=len(ids) - 1)]
    return np.where(ids[at] == wanted, at, -1)


def folders(config: SourceConfig, images: Packed) -> dict[str, str]:
    """Folders of pictures by data source; of "" if all are in one. Where none is given, the one
    beside the annotations that most of a few pictures are in."""
    if isinstance(config.pictures, dict):
        return config.pictures
    if config.pictures:
        return {"": config.pictures}
    beside = Path(config.annotations).parent
    some = [Image(*images[int(i)]).file for i in spread(len(images), LOOKED_AT)]

    def there(folder: Path) -> int:
        return sum((folder / name).is_file() for name in some)

    return {"": str(max((beside, beside / "images", beside.parent / "images"), key=there))}


class Grounding(Annotated):
    """Pictures with captions, and the words that name each object."""

    def __init__(self, config: SourceConfig, content: Content, problems: Problems):
        super().__init__(config, content, problems)
        self.fixed = self.records = len(self.images)
        self.lengths = np.array(content.lengths)
        if content.captions < len(self.images):
            for i in range(len(self.images)):
                if self.image(i).caption is None:
                    problems.add("entry", self.place(i), "caption: expected one, found none")
        for i in content.wordless:
            place = f"{self.path}: annotations of image_id {content.object_images[i]}"
            problems.add("entry", place, "tokens_positive: expected the object's words, found none")

    def __len__(self) -> int:
        return len(self.images)

    def drawn(self, index: int, rng: random.Random) -> Entry:
        return self.entry(index)

    def record(self, index: int) -> Entry:
        return self.entry(index)

    def entry(self, index: int) -> Entry:
        image = self.image(index)
        objects = [self.objects[i] for i in self.groups[index]]
        objects = [o for o in objects if not o[5]]
        place = self.place(index)
        final = [o[3] for o in objects]
        named = any(f is not None for f in final)
        original, sentence, task = image.ids
        return Entry(
            place=place,
            picture=self.picture(image),
            caption=image.caption or "",
            kind=image.kind if isinstance(image.kind, str) else "caption",
            boxes=np.frombuffer(b"".join(o[0] for o in objects), np.float32).reshape(-1, 4),
            areas=np.array([o[1] for o in objects], np.float32),
            spans=[o[2] or [] for o in objects],
            phrases=image.phrases,
            final=[1.0 if f is None else f for f in final] if named else None,
            segmentations=[o[6] for o in objects],
            answer=image.answer,
            size=image.size,
            image_id=int(self.ids[index]),
            original_id=original,
            sentence_id=sentence,
            task_id=task,
        )

    def longer(self, most: int) -> Iterator[tuple[str, str]]:
        for i in (self.lengths > most).nonzero()[0]:
            yield self.place(i), self.image(int(i)).caption or ""

    def phrases(self, most: int) -> Iterator[str]:
        seen = set()
        for i in spread(len(self), most):
            entry = self.entry(int(i))
            for of_object in entry.spans:
                phrase = " ".join(entry.caption[b:e] for b, e in of_object).strip()
                if phrase and len(phrase) <= MOST_PHRASE and phrase not in seen:
                    seen.add(phrase)
                    yield phrase


class Categories(Annotated, Detection):
    """Plain detection: pictures with objects of categories."""

    def __init__(self, config: SourceConfig, content: Content, problems: Problems):
        super().__init__(config, content, problems)
        self.names, numbers = naming.numbered(list(content.categories.values()))
        self.numbers = dict(zip(content.categories, numbers, strict=True))
        for category, name in content.categories.items():
            if not naming.clean(name):
                place = f"{self.path}: categories, id {category}"
                problems.add("category", place, f"name: expected a word, found {name!r}")
        categories = np.array(content.object_categories, np.int64)
        unknown = ~np.isin(categories, np.array([*self.numbers], np.int64))
        for i in unknown.nonzero()[0]:
            place = f"{self.path}: annotations of image_id {content.object_images[i]}"
            message = f"category_id: expected one of the categories, found {categories[i]}"
            problems.add("category", place, message)
        self.number(len(self.images), problems)

    def shown(self, index: int) -> Shown:
        image = self.image(index)
        every = [self.objects[i] for i in self.groups[index]]
        every = [o for o in every if o[4] in self.numbers]
        objects = [o for o in every if not o[5] and is_box(o[0])]
        absent = image.absent
        return Shown(
            place=self.place(index),
            picture=self.picture(image),
            boxes=np.frombuffer(b"".join(o[0] for o in objects), np.float32).reshape(-1, 4),
            relative=False,
            areas=np.array([o[1] for o in objects], np.float32),
            names=[self.numbers[o[4]] for o in objects],
            crowds=[self.numbers[o[4]] for o in every if o[5] or not is_box(o[0])],
            absent=absent and [self.numbers[n] for n in absent if n in self.numbers],
            segmentations=[o[6] for o in objects],
            size=image.size,
            image_id=int(self.ids[index]),
        )


def is_box(box: bytes) -> bool:
    """Whether a packed box has an area."""
    _, _, width, height = np.frombuffer(box, np.float32)
    return bool(width > 0 and height > 0)


def read(
    config: SourceConfig, problems: Problems, answering: Answering, with_masks: bool = False
) -> Source:
    """The data set in an annotation file, recognised by its members."""
    path = Path(config.annotations)
    content = Reader(path, problems, answering, with_masks).read()
    if content.captions or "questions" in content.members:
        source: Source = Grounding(config, content, problems)
    elif {"images", "annotations", "categories"} <= content.members:
        source = Categories(config, content, problems)
    else:
        found = ", ".join(sorted(content.members)) or "nothing"
        raise ValueError(
            f"{path}: expected images with captions, images with annotations and categories, or "
            f"questions, found {found}"
        )
    return source
