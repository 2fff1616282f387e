"""The trainer: stages of steps, checkpoints that survive an interruption, CSV curves."""

import contextlib
import csv
import dataclasses
import math
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from tokenizers import Tokenizer
from tqdm import tqdm

from . import backbone, checkpoint, kept, pretrained, report, weights
from . import config as configs
from .answers import attribute_groups
from .batch import Batch
from .config import Config, NetworkConfig, StageConfig
from .criterion import losses
from .data import ATTRIBUTES
from .evaluate import Outcome, evaluate, outcomes, quiet_threshold
from .feed import Feed
from .network import MDETR
from .recipe import (
    KINDS,
    Ema,
    Rates,
    Schedule,
    adamw,
    freeze_first_layers,
    set_rates,
)
from .segmentation import DETRsegm, build, grounding
from .words import Words

LATEST, BEST, CURVES, REPORT = "checkpoint.pth", "best.pth", "curves.csv", "report.html"
"""Files of a run."""


def learning_rate(step: int, steps: int, s: StageConfig) -> float:
    """A trapezoid's share of the full rates: linear warm-up, constant, linear decay."""
    rate = min(1.0, (step + 1) / max(s.warmup, 1))
    if s.decay:
        rate *= min(1.0, (steps - step) / s.decay)
    return rate


def factors(step: int, steps: int, per_epoch: int, s: StageConfig) -> tuple[float, float, float]:
    """What multiplies the rates of the optimiser's groups in a step."""
    if s.schedule == "trapezoid":
        return (learning_rate(step, steps, s),) * 3
    schedule = Schedule(s.epochs, per_epoch, s.schedule, s.lr_drop, s.warmup_share)
    return schedule.factors(step - 1) if step else (1.0, 1.0, 1.0)


def rates(s: StageConfig) -> Rates:
    """Full learning rates of the optimiser's groups."""
    return Rates(s.lr, s.lr_backbone or s.lr, s.lr_text_encoder or s.lr)


PARTS = ("backbone", "text")
"""What `freeze` names."""


def check_stages(stages: list[StageConfig], network: NetworkConfig, scenes: bool) -> None:
    """Refuse stages that this network cannot be trained on, on rendered scenes or not."""
    if not stages:
        raise ValueError("stages: expected at least one, found none")
    for i, stage in enumerate(stages):
        place = f"stages[{i}]"
        if stage.mask_objects and not network.masks:
            raise ValueError(
                f"{place}.mask_objects: expected 0 without a mask head, found "
                f"{stage.mask_objects}; set network.masks = true"
            )
        if stage.masks_only and not stage.mask_objects:
            raise ValueError(f"{place}.mask_objects: expected at least 1 for masks_only")
        if stage.past_only and not network.past:
            raise ValueError(
                f"{place}.past_only: expected false where nothing is remembered, found true; set "
                "network.past"
            )
        if stage.lost_only and not network.lost:
            raise ValueError(
                f"{place}.lost_only: expected false where nothing that is hidden is told, found "
                "true; set network.lost"
            )
        if stage.lost_only and not stage.clips:
            raise ValueError(f"{place}.clips: expected at least 1 for lost_only, found 0")
        if stage.kept and not (stage.past_only or stage.lost_only):
            raise ValueError(
                f"{place}.kept: expected 0 without past_only or lost_only, found {stage.kept}"
            )
        if unknown := sorted(set(stage.freeze) - set(PARTS)):
            raise ValueError(f"{place}.freeze: expected {' or '.join(PARTS)}, found {unknown}")
        if stage.schedule not in ("trapezoid", *KINDS):
            known = ", ".join(("trapezoid", *KINDS))
            raise ValueError(f"{place}.schedule: expected {known}, found {stage.schedule!r}")
        if scenes and stage.epochs:
            raise ValueError(f"{place}.epochs: expected 0 for rendered scenes; say how many steps")
        if stage.schedule != "trapezoid" and not stage.epochs:
            raise ValueError(f"{place}.epochs: expected at least 1 for schedule {stage.schedule!r}")
        needed = [stage.words_only, stage.loss.words, stage.loss.tokens, stage.loss.attributes]
        if not scenes and (any(needed) or stage.foreign or stage.captions != 1):
            raise ValueError(
                f"{place}: expected no captions, words_only, foreign, loss.words, loss.tokens or "
                "loss.attributes, which are for rendered scenes only"
            )


def check_attributes(stages: list[StageConfig], groups: list[list[int]] | None) -> None:
    """Refuse stages that train attributes for which the network has no answers."""
    for i, stage in enumerate(stages):
        if stage.loss.attributes > 0 and not groups:
            raise ValueError(
                f"stages[{i}].loss.attributes: expected 0 where network.answer_attributes lacks "
                f"words of the data's, found {stage.loss.attributes}"
            )


def set_modes(network: MDETR | DETRsegm, stage: StageConfig) -> None:
    """Freeze what the stage does not train."""
    network.train().requires_grad_(True)
    freeze_first_layers(network)
    detr = grounding(network)
    frozen = []
    if stage.frozen_vision:
        frozen += [detr.backbone, detr.input_proj]
    if "backbone" in stage.freeze:
        frozen.append(detr.backbone)
    if "text" in stage.freeze:
        frozen.append(detr.transformer.text_encoder)
    if stage.masks_only or stage.past_only or stage.lost_only:
        frozen.append(detr)
    for part in frozen:
        part.eval().requires_grad_(False)
    if stage.past_only:
        detr.past.train().requires_grad_(True)
    if stage.lost_only:
        detr.lost.train().requires_grad_(True)
    if stage.frozen_norms:
        for module in detr.backbone.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
    if isinstance(network, DETRsegm) and not stage.mask_objects:
        for part in (network.bbox_attention, network.mask_head):
            part.requires_grad_(False)


class Trainer:
    """Network, averages, optimiser and the place in the schedule.

    Where torch.distributed is initialised, each process works on its share of a batch's images
    and the gradients are averaged; the first process evaluates, saves and speaks.
    """

    def __init__(
        self, config: Config, tokenizer: Tokenizer, out: Path, device: str | torch.device = "cpu"
    ):
        torch.manual_seed(config.seed)
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.world = dist.get_world_size() if dist.is_initialized() else 1
        self.config = config
        self.tokenizer = tokenizer
        self.out = out
        self.device = torch.device(device)
        check_stages(config.stages, config.network, not config.data.sources)
        self.groups = attribute_groups(config.network.answer_attributes, ATTRIBUTES)
        check_attributes(config.stages, self.groups)
        network = build(config.network).to(memory_format=torch.channels_last)
        self.network = network.to(self.device)
        self.words = Words(tokenizer, config.network.d_model).to(self.device)
        self.ema = Ema(self.network)
        self.stage, self.step, self.per_epoch = 0, 0, 0
        self.best, self.worse = -math.inf, 0
        self.uncalibrated = False
        """Whether the backbone's frozen norms have no statistics yet."""
        self.begin_stage()

    def begin_stage(self) -> None:
        """An optimiser for what the stage trains."""
        stage = self._current()
        set_modes(self.network, stage)
        more = [] if self.config.data.sources else self.words.parameters()
        self.optimizer = adamw(self.network, rates(stage), stage.weight_decay, more)

    def _current(self) -> StageConfig:
        """The stage that trains, or the last one after its end."""
        return self.config.stages[min(self.stage, len(self.config.stages) - 1)]

    def _epoch(self) -> int:
        """The last whole epoch of the stage, counted from 0; of scenes, which have none, the
        stage."""
        if not self.per_epoch:
            return self.stage
        ended = self.stage == len(self.config.stages)
        made = self._steps(self._current()) if ended else self.step
        return made // self.per_epoch - 1

    def _steps(self, stage: StageConfig) -> int:
        """How many a stage has."""
        return stage.epochs * self.per_epoch or stage.steps

    def save(self, name: str = LATEST) -> None:
        """Write a checkpoint in the format of the official code; an interruption, or a full disk,
        leaves the old one."""
        place = {
            "stage": self.stage,
            "step": self.step,
            "best": self.best,
            "worse": self.worse,
            "words": self.words.state_dict(),
            "config": dataclasses.asdict(self.config),
        }
        checkpoint.save(
            self.out / name,
            self.network.state_dict(),
            self.ema.network.state_dict(),
            self.optimizer.state_dict() if name == LATEST else None,
            epoch=self._epoch(),
            config=self.config,
            stage=self._current(),
            place=place,
        )

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint of the same network."""
        saved, place = checkpoint.of_run(path)
        found = config_of(place)
        if found.network != self.config.network:
            mine, theirs = map(dataclasses.asdict, (self.config.network, found.network))
            other = [k for k in mine if mine[k] != theirs[k]]
            raise ValueError(
                f"{path}: the run in this folder has another network ({', '.join(other)}); take "
                "another folder, or the configuration that it was begun with"
            )
        self.stage, self.step = place["stage"], place["step"]
        self.best, self.worse = place["best"], place["worse"]
        self.begin_stage()
        self.network.load_state_dict(saved["model"])
        self.ema.network.load_state_dict(saved["model_ema"])
        self.words.load_state_dict(place["words"])
        self.optimizer.load_state_dict(saved["optimizer"])

    def begin_at(self, stage: int) -> None:
        """Leave out the stages before this one."""
        count = len(self.config.stages)
        if not 0 <= stage < count:
            raise ValueError(f"--first-stage: expected 0 to {count - 1}, found {stage}")
        self.stage = stage
        self.begin_stage()

    def start_anew(self, given: Mapping[str, Path]) -> None:
        """Take over the weights of parts of the network, as `pretrained.take`."""
        for name, path in given.items():
            pretrained.take(self.network, name, path)
        self.ema = Ema(self.network)
        self.uncalibrated = "backbone" not in given

    def start_from(self, network: MDETR | DETRsegm, new_heads: bool = False) -> list[str]:
        """Take over the weights of a network, as `weights.transfer`."""
        new = weights.transfer(network, self.network, new_heads)
        self.ema = Ema(self.network)
        return new

    def train_step(self, parts: list[Batch], stage: StageConfig, steps: int) -> dict[str, float]:
        """One optimiser step of a stage that has so many; the mean of the parts' losses."""
        set_modes(self.network, stage)
        now = factors(self.step, steps, self.per_epoch, stage)
        set_rates(self.optimizer, rates(stage), now)
        seeds = [self.config.seed, self.stage, self.step, self.rank]
        torch.manual_seed(int(np.random.SeedSequence(seeds).generate_state(1)[0]))
        self.optimizer.zero_grad(set_to_none=True)
        parts = [part.to(self.device) for part in parts]
        if self.uncalibrated:
            self._calibrate(parts[0])
        count = self._objects(parts)
        sums: dict[str, float] = {}
        for part in parts:
            part.targets.count = count
            found = losses(self.network, self.words, part, stage, self.groups, self.step)
            total = sum(v for k, v in found.items() if not k.isupper())
            (total / len(parts)).backward()
            for name, value in (found | {"loss": total}).items():
                sums[name] = sums.get(name, 0.0) + float(value.detach()) / len(parts)
        self._average_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), stage.clip_norm)
        if not torch.isfinite(norm):
            raise FloatingPointError(
                f"stage {self.stage} step {self.step}: the gradient is not finite; "
                f"lower the learning rate or resume from {self.out / LATEST}"
            )
        self.optimizer.step()
        self.step += 1
        decay = stage.ema_decay
        if stage.ema_warmup:
            decay = min(decay, (1 + self.step) / (10 + self.step))
        self.ema.update(self.network, decay)
        return sums

    def _calibrate(self, part: Batch) -> None:
        """Statistics for the backbone's frozen norms, of the first process's first pictures."""
        body = grounding(self.network).backbone
        backbone.calibrate(body, part.images)
        if self.world > 1:
            for buffer in body.buffers():
                dist.broadcast(buffer, 0)
        self.ema = Ema(self.network)
        self.uncalibrated = False

    def _objects(self, parts: list[Batch]) -> float:
        """How many objects losses are divided by: the mean over all parts of all processes."""
        count = torch.tensor(float(sum(int(part.targets.valid.sum()) for part in parts)))
        if self.world > 1:
            count = count.to(self.device)
            dist.all_reduce(count)
        return max(float(count) / self.world / len(parts), 1.0)

    def _average_gradients(self) -> None:
        if self.world == 1:
            return
        parameters = [
            p for g in self.optimizer.param_groups for p in g["params"] if p.requires_grad
        ]
        for p in parameters:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        flat = torch.cat([p.grad.flatten() for p in parameters])
        dist.all_reduce(flat)
        flat /= self.world
        for p, gradient in zip(
            parameters, flat.split([p.numel() for p in parameters]), strict=True
        ):
            p.grad.copy_(gradient.view_as(p))

    def _agreed(self, value: bool) -> bool:
        """A decision of the first process."""
        decision = torch.tensor(float(value), device=self.device)
        if self.world > 1:
            dist.broadcast(decision, 0)
        return bool(decision)

    def run(self, feed: Feed, every: int, minutes: float = math.inf) -> None:
        """Train to the end of the last stage, evaluating and saving every `every` steps, or, if
        that is 0, after every epoch. Stops early after `minutes`, and, with what it has saved, when
        it is interrupted."""
        deadline = time.monotonic() + 60 * minutes
        torch.set_flush_denormal(True)
        with interrupted() as asked:
            while self.stage < len(self.config.stages):
                stage = self.config.stages[self.stage]
                self.per_epoch = feed.steps_per_epoch(stage)
                if stage.masks_only and self.step == 0:
                    self.network.load_state_dict(self.ema.network.state_dict())
                if not self._run_stage(feed, stage, every or self.per_epoch, deadline, asked):
                    return
                if stage.patience:
                    self._take_best()
                self.stage, self.step = self.stage + 1, 0
                self.best, self.worse = -math.inf, 0
                self.begin_stage()
                if self.rank == 0:
                    if self.stage == len(self.config.stages):
                        self._finish(feed)
                    self.save()

    def _run_stage(
        self, feed: Feed, stage: StageConfig, every: int, deadline: float, asked: list[int]
    ) -> bool:
        """Whether the stage is at its end; else it is to go on later."""
        steps = self._steps(stage)
        bar = tqdm(
            total=steps,
            initial=self.step,
            desc=f"stage {self.stage}",
            mininterval=5,
            disable=self.rank > 0,
        )
        sums: dict[str, float] = {}
        count = 0
        batches = self._batches(feed, stage)
        patient = not stage.patience or self.worse < stage.patience
        if self.step == 0 and self.config.data.sources and self.rank == 0:
            self._look(feed, stage, {})
        while self.step < steps and patient:
            for name, value in self.train_step(next(batches), stage, steps).items():
                sums[name] = sums.get(name, 0.0) + value
            count += 1
            bar.update()
            late = self._agreed(time.monotonic() > deadline or bool(asked))
            if self.step % every == 0 or self.step == steps or late:
                if self.rank == 0:
                    self._look(feed, stage, {k: v / count for k, v in sums.items()})
                sums, count = {}, 0
                patient = self._agreed(not stage.patience or self.worse < stage.patience)
            if late:
                return False
        bar.close()
        return True

    def _batches(self, feed: Feed, stage: StageConfig) -> Iterator[list[Batch]]:
        if not stage.kept:
            return feed.parts(self.stage, stage, self.step)
        seed = [self.config.seed, self.rank]
        return kept.parts(feed, self.stage, stage, self.step, self._kept, seed)

    def _kept(self, batch: Batch) -> Batch:
        return kept.decoded(self.network, batch.to(self.device))

    def _look(self, feed: Feed, stage: StageConfig, row: dict[str, float]) -> None:
        """Evaluate, log and save, and keep what is best."""
        batches = None if stage.words_only else feed.validation()
        if batches is not None:
            found = evaluate(self.ema.network, batches)
            row |= found
            value = found.get(stage.metric)
            if stage.patience and value is None:
                raise ValueError(
                    f"stages[{self.stage}].metric: expected one of {', '.join(found)}, which the "
                    f"validation data gives, found {stage.metric!r}"
                )
            if value is not None and value > self.best:
                self.best, self.worse = value, 0
                self.save(BEST)
            else:
                self.worse += 1
        elif stage.patience:
            raise ValueError(
                f"stages[{self.stage}].patience: expected data to evaluate on, found none"
            )
        self.log(row)
        if self.step:
            self.save()

    def _take_best(self) -> None:
        """Go on from the best averages of the stage."""
        if self.world > 1:
            dist.barrier()
        saved, _ = checkpoint.of_run(self.out / BEST)
        self.network.load_state_dict(saved["model_ema"])
        self.ema.network.load_state_dict(saved["model_ema"])

    def _finish(self, feed: Feed) -> None:
        """Set the bundle's score threshold, where the configuration asks for few false alarms, and
        write the report on data sets of pictures."""
        share, batches = self.config.bundle.false_alarms, feed.validation()
        if batches is None or not (share or self.config.data.sources):
            return
        found = list(outcomes(self.ema.network, batches))
        if share:
            self._set_threshold(found, share)
        if self.config.data.sources:
            report.write(self.out / REPORT, self.config, self.out / CURVES, found)

    def _set_threshold(self, outcomes: list[Outcome], share: float) -> None:
        found = quiet_threshold(outcomes, share)
        if found is None:
            raise ValueError(
                "bundle.false_alarms: expected captions of nothing in the data to evaluate on, "
                "found none; give a source of pictures that show nothing"
            )
        self.config.bundle.score_threshold = found
        tqdm.write(f"score_threshold {found}: at most {share:.1%} of captions of nothing get a box")

    def log(self, row: dict[str, float]) -> None:
        """Append to curves.csv (long form: a line per value) and print."""
        path = self.out / CURVES
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["stage", "step", "name", "value"])
            for name, value in row.items():
                writer.writerow([self.stage, self.step, name, f"{value:.5f}"])
        text = " ".join(f"{k} {v:.3f}" for k, v in row.items())
        tqdm.write(f"[{time.strftime('%H:%M:%S')}] stage {self.stage} step {self.step}: {text}")


@contextlib.contextmanager
def interrupted() -> Iterator[list[int]]:
    """The signals that ask to stop: the first one waits for the end of a step, the second not."""
    asked: list[int] = []
    before = {}

    def ask(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        tqdm.write("interrupted: evaluating and saving; once more to stop at once")

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError):
            before[number] = signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def config_of(place: Mapping) -> Config:
    """The configuration of a run, from its own entry in a checkpoint."""
    return configs.from_dict(place["config"])


def restore(path: Path) -> tuple[Config, MDETR | DETRsegm]:
    """The configuration and the averaged network of a run's checkpoint."""
    return restored(*checkpoint.of_run(path))


def restored(saved: Mapping, place: Mapping) -> tuple[Config, MDETR | DETRsegm]:
    """The same of what the file contains."""
    config = config_of(place)
    network = build(config.network)
    network.load_state_dict(saved["model_ema"])
    return config, network.eval()
