"""Batches of pictures and captions, read by worker processes as they are needed."""

import math
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler, get_worker_info

from .. import answers
from ..augment import degraded
from ..batch import Batch
from ..captions import Caption, Spans
from ..config import BundleConfig, Config, InputConfig, SourceConfig
from ..matcher import Targets
from ..tokenizer import PAD_ID
from . import masks, transforms
from .detection import Absent, Detection
from .names import short
from .open import open_source, share_phrases
from .read import read_picture
from .source import Answering, Entry, Source, spread
from .transforms import Sizes, Truth

SPECIAL = 2
"""Tokens around a caption."""


@dataclass
class PictureCaption(Caption):
    """A caption of a picture file, and where both are from."""

    picture: str = ""
    """Path of the picture."""
    size: tuple[int, int] = (0, 0)
    """Width and height of the picture as it is stored."""
    place: str = ""
    """Where the annotations have it."""
    image_id: int | None = None
    original_id: int | str | None = None
    sentence_id: int | str | None = None
    task_id: int | str | None = None


@dataclass
class Sample:
    """A picture and a caption as the network gets them, with M objects."""

    pixels: Tensor
    """[H, W, 3] bytes, not normalised yet."""
    caption: PictureCaption
    boxes: Tensor
    """[M, 4], relative cx cy w h."""
    final: list[float] | None
    masks: Tensor | None
    """[M, H, W] bool."""


@dataclass
class Failure:
    """An error in a worker process, to be raised where the batch is asked for."""

    message: str


@dataclass
class Degrading:
    """How much worse a training picture gets than it is, and its caption, as a stage says it."""

    brightness: float = 0.0
    faults: float = 0.0
    typos: float = 0.0

    def __call__(
        self,
        picture: Image.Image,
        caption: PictureCaption,
        tokenizer: Tokenizer,
        rng: random.Random,
    ) -> tuple[Image.Image, PictureCaption]:
        """Nothing is drawn from the random numbers for what is zero."""
        if self.faults or self.brightness:
            numbers = np.random.default_rng(rng.getrandbits(62))
            pixels = degraded(np.asarray(picture), numbers, self.brightness, self.faults)
            picture = Image.fromarray(pixels)
        if self.typos and rng.random() < self.typos:
            caption = caption.with_typo(np.random.default_rng(rng.getrandbits(62)), tokenizer)
        return picture, caption


class Samples(Dataset):
    """The entries of all sources, each as often as it is repeated. Keys are an epoch, or -1 for
    validation, and a number."""

    def __init__(
        self, sources: Sequence[Source], tokenizer: Tokenizer, config: Config, sizes: Sizes
    ):
        self.sources, self.tokenizer, self.config = sources, tokenizer, config
        self.sizes = sizes
        self.with_masks = False
        self.degrading = Degrading()
        self.trained = np.cumsum([0, *(len(s) * s.config.repeat for s in sources)])
        self.fixed = np.cumsum([0, *(s.fixed for s in sources)])

    def __len__(self) -> int:
        return int(self.trained[-1])

    def entry(self, epoch: int, index: int, rng: random.Random) -> Entry:
        """An entry, whose caption may be drawn."""
        ends = self.fixed if epoch < 0 else self.trained
        which = int(np.searchsorted(ends, index, side="right")) - 1
        source, at = self.sources[which], index - int(ends[which])
        return source.entry(at) if epoch < 0 else source.drawn(at % len(source), rng)

    def sample(self, epoch: int, index: int) -> Sample:
        """The entry with that number, augmented unless it is for validation."""
        rng = random.Random(f"{self.config.seed}/{epoch}/{index}")
        entry = self.entry(epoch, index, rng)
        picture = read_picture(entry.picture)
        size = picture.size
        truth, keep = self._truth(entry, size)
        spans = [s for s, k in zip(entry.spans, keep, strict=True) if k]
        final = entry.final and [f for f, k in zip(entry.final, keep, strict=True) if k]
        if epoch < 0:
            picture, truth = transforms.for_evaluation(picture, truth, self.sizes)
        else:
            generator = torch.Generator().manual_seed(rng.getrandbits(62))
            picture, truth = transforms.augmented(
                picture, truth, entry.caption, self.sizes, rng, generator
            )
        caption = self._caption(entry, spans, size)
        if epoch >= 0:
            picture, caption = self.degrading(picture, caption, self.tokenizer, rng)
        return Sample(
            pixels=torch.from_numpy(np.array(picture)),
            caption=caption,
            boxes=torch.from_numpy(transforms.relative(truth.boxes, picture.size)),
            final=final,
            masks=truth.masks,
        )

    def _truth(self, entry: Entry, size: tuple[int, int]) -> tuple[Truth, np.ndarray]:
        scale = np.array([*size, *size] if entry.relative else [1] * 4, np.float32)
        boxes, keep = transforms.pixels(entry.boxes * scale, size)
        areas = entry.areas[keep] * (scale[0] * scale[1])
        if not self.with_masks:
            return Truth(boxes, areas), keep
        segmentations = [s for s, k in zip(entry.segmentations or [], keep, strict=True) if k]
        if entry.relative:
            segmentations = [[(np.reshape(s, (-1, 2)) * size).ravel()] for s in segmentations]
            segmentations = [[polygon.tolist() for polygon in s] for s in segmentations]
        return Truth(boxes, areas, masks.decoded(segmentations, size, entry.place)), keep

    def _caption(
        self, entry: Entry, of_objects: list[list[list[int]]], size: tuple[int, int]
    ) -> PictureCaption:
        text = normalised(entry.caption, entry.place, self.config.bundle)
        encoding = self.tokenizer.encode(text)
        phrases = entry.phrases
        if phrases is None:
            phrases = list({str(s): s for s in of_objects if s}.values())
        spans = Spans(of_objects, phrases)
        tokens, of_phrases = spans.tokens(encoding)
        return PictureCaption(
            text=text,
            kind=entry.kind,
            ids=encoding.ids,
            objects=list(range(len(of_objects))),
            tokens=tokens,
            phrases=of_phrases,
            answer=entry.answer,
            spans=spans,
            picture=entry.picture,
            size=size,
            place=entry.place,
            image_id=entry.image_id,
            original_id=entry.original_id,
            sentence_id=entry.sentence_id,
            task_id=entry.task_id,
        )

    def __getitem__(self, key: tuple[int, int]) -> Sample | Failure:
        try:
            return self.sample(*key)
        except (ValueError, OSError, MemoryError) as error:
            return Failure(str(error) or type(error).__name__)


def normalised(text: str, place: str, c: BundleConfig) -> str:
    """A caption as the tokenizer takes it; its spans must hold in it too."""
    found = c.normalised(text)
    if len(found) != len(text):
        raise ValueError(
            f"{place}: caption {text!r}: expected {len(text)} characters in {c.case} case too, "
            f"found {len(found)}; write the caption in {c.case} case"
        )
    return found


def most_tokens(config: Config) -> int:
    """Tokens that a caption may have: as many as the text encoder has positions for, and the class
    head slots, of which the last means "no object"."""
    return min(config.network.text.max_positions - SPECIAL, config.network.slots - 1)


def too_long(source: Source, tokenizer: Tokenizer, config: Config) -> Iterator[tuple[str, str]]:
    """Captions of a source that have too many tokens: the place of each, and what is wrong. A
    token has one byte at least, so that few captions have to be looked at."""
    most = most_tokens(config)
    for place, caption in source.longer(most - SPECIAL):
        count = len(tokenizer.encode(normalised(caption, place, config.bundle)).ids)
        if count > most:
            shown = f"{caption[:40]!r}..."
            yield place, f"caption {shown}: expected at most {most} tokens, found {count}"


@dataclass
class Fits:
    """Whether a caption that lists names is as short as it has to be."""

    tokenizer: Tokenizer
    most: int

    def __call__(self, text: str) -> bool:
        return short(text) and len(self.tokenizer.encode(text).ids) <= self.most


def zeros(*shape: int) -> Tensor:
    """Zeros of that shape; in a worker process where the batch is handed over without a copy."""
    if get_worker_info() is None:
        return torch.zeros(shape)
    count = math.prod(shape)
    storage = torch.UntypedStorage._new_shared(4 * count)
    return torch.empty(0).set_(storage, 0, shape)


class Collate:
    """Puts samples together."""

    def __init__(self, heads: Sequence[str], c: InputConfig):
        self.heads, self.input = list(heads), c

    def __call__(self, samples: list[Sample | Failure]) -> Batch | Failure:
        failure = next((s for s in samples if isinstance(s, Failure)), None)
        return failure or self.batch(samples)

    def batch(self, samples: list[Sample]) -> Batch:
        """A batch of B samples, padded to the largest picture, the longest caption and the most
        objects."""
        count = len(samples)
        height, width = (max(s.pixels.shape[d] for s in samples) for d in (0, 1))
        length = max(len(s.caption.ids) for s in samples)
        most = max(1, *(len(s.boxes) for s in samples))
        images = zeros(count, 3, height, width)
        padding = torch.ones(count, height, width, dtype=torch.bool)
        ids = torch.full((count, length), PAD_ID)
        attention = torch.zeros(count, length, dtype=torch.long)
        boxes = torch.zeros(count, most, 4)
        positive = torch.zeros(count, most, length, dtype=torch.bool)
        valid = torch.zeros(count, most, dtype=torch.bool)
        final = torch.zeros(count, most)
        has_masks = samples[0].masks is not None
        drawn = torch.zeros(count, most, height, width, dtype=torch.bool) if has_masks else None
        for b, s in enumerate(samples):
            rows, columns = s.pixels.shape[:2]
            transforms.normalise(s.pixels, self.input, images[b, :, :rows, :columns])
            padding[b, :rows, :columns] = False
            ids[b, : len(s.caption.ids)] = torch.tensor(s.caption.ids)
            attention[b, : len(s.caption.ids)] = 1
            boxes[b, : len(s.boxes)] = s.boxes
            valid[b, : len(s.boxes)] = True
            final[b, : len(s.boxes)] = torch.tensor(s.final or [1.0] * len(s.boxes))
            for m, tokens in enumerate(s.caption.tokens):
                positive[b, m, tokens] = True
            if drawn is not None:
                drawn[b, : len(s.boxes), :rows, :columns] = s.masks
        chains = any(s.final is not None for s in samples)
        answer = [s.caption.answer for s in samples]
        return Batch(
            images=images,
            input_ids=ids,
            attention_mask=attention,
            targets=Targets(boxes, positive, valid, final=final if chains else None, masks=drawn),
            captions=[s.caption for s in samples],
            answers={h: torch.tensor([a.get(h, -1) for a in answer]) for h in self.heads},
            padding=padding if padding.any() else None,
        )


class Loader:
    """Batches of one or several data sets. Neither the number of workers nor where a run was
    interrupted changes what is in them.

    Raises ValueError or OSError with file and place: for annotations at once, for pictures when
    their batch is asked for.
    """

    def __init__(
        self,
        sources: Sequence[SourceConfig | Source],
        tokenizer: Tokenizer,
        config: Config,
        *,
        batch: int,
        sizes: Sizes | None = None,
        workers: int = 2,
        rank: int = 0,
        world: int = 1,
        with_masks: bool = False,
        phrases: Sequence[str] = (),
    ):
        """`batch` captions per process; `sizes`: by default those for grounding, for the
        configuration's input; `phrases`: that pictures which show nothing are asked for, beside
        those of the sources."""
        network = config.network
        heads = answers.classes(network.answers, network.answer_classes, network.answer_attributes)
        answering = Answering(network.answers, heads, network.answer_attributes)
        self.sources = [
            s if isinstance(s, Source) else open_source(s, None, answering, with_masks)
            for s in sources
        ]
        share_phrases(self.sources, phrases)
        sizes = sizes or transforms.for_network(transforms.GROUNDING, config)
        self.samples = Samples(self.sources, tokenizer, config, sizes)
        self.samples.with_masks = with_masks
        self.collate = Collate(list(heads), config.input)
        self.batch, self.workers = batch, workers
        self.rank, self.world = rank, world
        self.seed = config.seed
        for source in self.sources:
            for place, message in too_long(source, tokenizer, config):
                raise ValueError(f"{place}: {message}; shorten it")
            if isinstance(source, Detection | Absent):
                source.fits = Fits(tokenizer, most_tokens(config))

    def degrade(self, brightness: float, faults: float, typos: float) -> None:
        """Make pictures and captions of training worse, as `StageConfig` says."""
        self.samples.degrading = Degrading(brightness, faults, typos)

    @property
    def batches(self) -> int:
        """Of an epoch, the same for every process."""
        return len(self.samples) // self.world // self.batch

    def epoch(self, number: int, begin: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, in an order of its own, from the batch `begin` on: those before
        it are not read. As the official sampler does, leaves out what does not fill a batch."""
        if self.batches == 0:
            raise ValueError(
                f"{len(self.samples)} captions: expected at least {self.batch * self.world}, a "
                "batch for each process; take smaller batches, or set `repeat`"
            )
        sampler = DistributedSampler(
            self.samples, self.world, self.rank, shuffle=True, seed=self.seed, drop_last=True
        )
        sampler.set_epoch(number)
        order = np.fromiter(sampler, np.int64)
        groups = [order[i * self.batch :][: self.batch] for i in range(begin, self.batches)]
        return self._read(number, groups)

    def ordered(self, batch: int | None = None, most: int | None = None) -> Iterator[Batch]:
        """The validation's captions once, in order, as evaluation sees them; of more than `most`
        as many, evenly. The last batch may be smaller."""
        count = int(self.samples.fixed[-1])
        chosen = spread(count, count if most is None else most)[self.rank :: self.world]
        size = batch or self.batch
        groups = [chosen[i : i + size] for i in range(0, len(chosen), size)]
        return self._read(-1, groups)

    def _read(self, epoch: int, groups: list[np.ndarray]) -> Iterator[Batch]:
        keys = _Keys(epoch, groups)
        workers = min(self.workers, len(groups))
        loader = DataLoader(
            self.samples,
            batch_sampler=keys,
            num_workers=workers,
            collate_fn=self.collate,
            multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
        )
        for batch in loader:
            if isinstance(batch, Failure):
                raise ValueError(batch.message)
            yield batch


@dataclass
class _Keys:
    """Keys of `Samples`, batch by batch."""

    epoch: int
    groups: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.groups)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        return ([(self.epoch, int(i)) for i in group] for group in self.groups)
