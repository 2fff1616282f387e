"""Where batches come from: rendered scenes, or data sets of pictures."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np
from tokenizers import Tokenizer

from .batch import Batch
from .clips import Clips
from .config import Config, SourceConfig, StageConfig
from .data import Data
from .pictures import CLEVR, GROUNDING, Loader, for_network

EVALUATED_AT_ONCE = 8
AUGMENTATIONS = {"grounding": GROUNDING, "clevr": CLEVR}


class Feed(Protocol):
    """Batches of one process for training and all of them for evaluation."""

    def steps_per_epoch(self, stage: StageConfig) -> int:
        """Optimiser steps that go once through the data; 0 if there is no end to it."""

    def parts(self, number: int, stage: StageConfig, step: int) -> Iterator[list[Batch]]:
        """Of each step of the stage with that number, from `step` on, the batches that this
        process works through."""

    def validation(self) -> Iterator[Batch] | None:
        """What is evaluated on, always the same; None if nothing is."""


def share(stage: StageConfig, world: int) -> int:
    """Images of a batch that one of `world` processes works on at once."""
    parts = world * stage.accumulate
    if stage.accumulate < 1 or stage.images % parts:
        raise ValueError(
            f"images: expected a multiple of {world} processes times accumulate, "
            f"{stage.accumulate}, found {stage.images}"
        )
    return stage.images // parts


class Scenes:
    """Rendered scenes, drawn at random for each step."""

    def __init__(
        self,
        config: Config,
        train: Data | None,
        val: Data | None,
        rank: int = 0,
        world: int = 1,
        clips: Clips | None = None,
        val_clips: Clips | None = None,
    ):
        self.config, self.train, self.val = config, train, val
        self.clips, self.val_clips = clips, val_clips
        self.rank, self.world = rank, world

    def steps_per_epoch(self, stage: StageConfig) -> int:
        return 0

    def parts(self, number: int, stage: StageConfig, step: int) -> Iterator[list[Batch]]:
        images = share(stage, self.world)
        for at in itertools.count(step):
            rng = np.random.default_rng([self.config.seed, number, at, self.rank])
            pictures = [
                self.train.random(
                    rng,
                    images,
                    stage.captions,
                    stage.brightness,
                    stage.foreign,
                    stage.faults,
                    stage.typos,
                )
                for _ in range(stage.accumulate if self.train and not stage.lost_only else 0)
            ]
            yield pictures + self._clips(rng, stage)

    def _clips(self, rng: np.random.Generator, stage: StageConfig) -> list[Batch]:
        if not stage.clips or self.clips is None:
            return []
        clips = share(replace(stage, images=stage.clips, accumulate=1), self.world)
        return [self.clips.random(rng, clips, stage.captions, stage.brightness, stage.faults)]

    def validation(self) -> Iterator[Batch] | None:
        most = self.config.data.val_images
        parts: list[Iterator[Batch]] = []
        if self.val is not None:
            parts.append(self.val.ordered(EVALUATED_AT_ONCE, most))
        if self.val_clips is not None:
            parts.append(self.val_clips.ordered(most))
        return itertools.chain(*parts) if parts else None


class Pictures:
    """Data sets, in an order of its own for each epoch."""

    def __init__(self, config: Config, tokenizer: Tokenizer, rank: int = 0, world: int = 1):
        self.config, self.tokenizer = config, tokenizer
        self.world = world
        self.masks = any(stage.mask_objects for stage in config.stages)
        named = config.data.augmentation
        if named not in AUGMENTATIONS:
            known = " or ".join(AUGMENTATIONS)
            raise ValueError(f"data.augmentation: expected {known}, found {named!r}")
        sizes = for_network(AUGMENTATIONS[named], config)
        self.sizes = replace(sizes, flip=config.data.flip)
        self.train = self._loader(config.data.sources, rank, world)
        # One process evaluates, on everything.
        given = config.data.val_sources
        self.val = self._loader(given, 0, 1) if given else None

    def _loader(self, sources: list[SourceConfig], rank: int, world: int) -> Loader:
        return Loader(
            sources,
            self.tokenizer,
            self.config,
            batch=1,
            sizes=self.sizes,
            workers=self.config.data.workers,
            rank=rank,
            world=world,
            with_masks=self.masks,
        )

    def _sized(self, stage: StageConfig) -> Loader:
        self.train.batch = share(stage, self.world)
        self.train.degrade(stage.brightness, stage.faults, stage.typos)
        return self.train

    def steps_per_epoch(self, stage: StageConfig) -> int:
        steps = self._sized(stage).batches // stage.accumulate
        if steps == 0:
            count = len(self.train.samples)
            raise ValueError(
                f"images: expected at most {count}, as many as the data has captions, found "
                f"{stage.images}; take smaller batches, or set `repeat` of a source"
            )
        return steps

    def parts(self, number: int, stage: StageConfig, step: int) -> Iterator[list[Batch]]:
        loader, steps = self._sized(stage), self.steps_per_epoch(stage)
        for epoch in itertools.count(step // steps):
            first = step % steps if epoch == step // steps else 0
            batches = loader.epoch(EPOCHS * number + epoch, first * stage.accumulate)
            for _ in range(first, steps):
                yield list(itertools.islice(batches, stage.accumulate))

    def validation(self) -> Iterator[Batch] | None:
        if self.val is None:
            return None
        most = self.config.data.val_images or None
        return self.val.ordered(EVALUATED_AT_ONCE, most)


EPOCHS = 1_000_000
"""More than a stage has: each epoch of each stage has an order of its own."""
