"""The trainer: stages of steps, checkpoints that survive an interruption, CSV curves."""

import csv
import dataclasses
import time
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from tokenizers import Tokenizer
from tqdm import tqdm

from . import config as configs
from . import weights
from .answers import attribute_groups
from .batch import Batch
from .config import Config, StageConfig
from .data import ATTRIBUTES, Data
from .evaluate import autocast, evaluate
from .losses import (
    answer_losses,
    detection_losses,
    mask_losses,
    matched_objects,
    read_attributes_loss,
    token_attribute_loss,
    token_losses,
    true_masks,
)
from .matcher import Matches, match
from .network import MDETR, Outputs, as_tuple
from .recipe import Ema
from .segmentation import DETRsegm, build, grounding
from .words import Words


def learning_rate(step: int, s: StageConfig) -> float:
    """Linear warm-up, constant, linear decay over the stage's last steps."""
    rate = s.lr * min(1.0, (step + 1) / max(s.warmup, 1))
    if s.decay:
        rate *= min(1.0, (s.steps - step) / s.decay)
    return rate


def check_stages(stages: list[StageConfig], masks: bool) -> None:
    """Refuse stages that a network with or without masks cannot train."""
    for i, stage in enumerate(stages):
        if stage.mask_objects and not masks:
            raise ValueError(
                f"stages[{i}].mask_objects: expected 0 without a mask head, found "
                f"{stage.mask_objects}; set network.masks = true"
            )
        if stage.masks_only and not stage.mask_objects:
            raise ValueError(f"stages[{i}].mask_objects: expected at least 1 for masks_only")


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
    detr = grounding(network)
    if stage.frozen_vision:
        for part in (detr.backbone, detr.input_proj):
            part.eval().requires_grad_(False)
    if stage.frozen_norms:
        for module in detr.backbone.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
    if stage.masks_only:
        detr.eval().requires_grad_(False)
    if isinstance(network, DETRsegm) and not stage.mask_objects:
        for part in (network.bbox_attention, network.mask_head):
            part.requires_grad_(False)


class Trainer:
    """Network, averages, optimiser and the place in the schedule.

    Where torch.distributed is initialised, each process works on its share of a batch's images
    and the gradients are averaged; the first process evaluates, saves and speaks.
    """

    def __init__(self, config: Config, tokenizer: Tokenizer, out: Path):
        torch.manual_seed(config.seed)
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        self.world = dist.get_world_size() if dist.is_initialized() else 1
        self.config = config
        self.tokenizer = tokenizer
        self.out = out
        check_stages(config.stages, config.network.masks)
        self.groups = attribute_groups(config.network.answer_attributes, ATTRIBUTES)
        check_attributes(config.stages, self.groups)
        self.network = build(config.network).to(memory_format=torch.channels_last)
        self.words = Words(tokenizer, config.network.d_model)
        self.ema = Ema(self.network)
        self.stage, self.step = 0, 0
        self.optimizer = self._optimizer()

    def _optimizer(self) -> torch.optim.Optimizer:
        parameters = [*self.network.parameters(), *self.words.parameters()]
        return torch.optim.AdamW(parameters, lr=1e-4, weight_decay=1e-4)

    def save(self) -> None:
        """Write the checkpoint; an interruption leaves the old one."""
        partial = self.out / "checkpoint.partial"
        torch.save(
            {
                "model": self.network.state_dict(),
                "model_ema": self.ema.network.state_dict(),
                "words": self.words.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "stage": self.stage,
                "step": self.step,
                "config": dataclasses.asdict(self.config),
            },
            partial,
        )
        partial.rename(self.out / "checkpoint.pth")

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint of the same network."""
        saved = torch.load(path, weights_only=True)
        self.network.load_state_dict(saved["model"])
        self.ema.network.load_state_dict(saved["model_ema"])
        self.words.load_state_dict(saved["words"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.stage, self.step = saved["stage"], saved["step"]

    def begin_at(self, stage: int) -> None:
        """Leave out the stages before this one."""
        count = len(self.config.stages)
        if not 0 <= stage < count:
            raise ValueError(f"--first-stage: expected 0 to {count - 1}, found {stage}")
        self.stage = stage

    def start_from(self, network: MDETR | DETRsegm, new_heads: bool = False) -> list[str]:
        """Take over the weights of a network, as `weights.transfer`."""
        new = weights.transfer(network, self.network, new_heads)
        self.ema = Ema(self.network)
        return new

    def losses(self, batch: Batch, stage: StageConfig) -> dict[str, torch.Tensor]:
        """Weighted losses of a batch; names in capitals are shown, not trained."""
        if stage.masks_only:
            with autocast(), torch.no_grad():
                maps = as_tuple(self.network.vision(batch.images))
                outputs = self._outputs(maps[0], batch)
            return self._mask_losses(outputs, maps, batch, stage)
        with autocast():
            maps = as_tuple(self.network.vision(batch.images))
            tokens = maps[0]
            words, accuracy = self.words.loss(self.network, tokens, batch)
            result = {"words": max(stage.loss.words, float(stage.words_only)) * words}
            result |= {f"ACC{i}": a for i, a in enumerate(accuracy)}
            if stage.words_only:
                return result
            outputs = self._outputs(tokens, batch)
        result |= detection_losses(outputs, batch.targets, stage.loss, self.groups)
        result |= answer_losses(outputs.answers, batch.answers, stage.loss.qa)
        if outputs.layer_attributes is not None:
            asked = batch.answers["attr"][:, None].expand(-1, 2)
            read = torch.where(asked >= 0, asked, batch.scene.compared)
            loss = read_attributes_loss(outputs.layer_attributes, read)
            result["qa_read"] = stage.loss.qa * loss
        if stage.mask_objects:
            result |= self._mask_losses(outputs, maps, batch, stage)
        if stage.loss.tokens > 0:
            k = len(batch.captions) // len(tokens)
            result |= token_losses(
                outputs,
                batch.scene.cells.repeat_interleave(k, 0),
                batch.scene.boxes.repeat_interleave(k, 0),
                batch.scene.objects,
                batch.targets,
                stage.loss,
            )
        if stage.loss.attributes > 0:
            k = len(batch.captions) // len(tokens)
            loss = token_attribute_loss(
                outputs.token_attribute_logits,
                batch.scene.cells.repeat_interleave(k, 0),
                batch.scene.attributes.repeat_interleave(k, 0),
                self.groups,
            )
            result["token_attributes"] = stage.loss.attributes * loss
        return result

    def _outputs(self, tokens: torch.Tensor, batch: Batch) -> Outputs:
        k = len(batch.captions) // len(tokens)
        return self.network(
            tokens.repeat_interleave(k, 0),
            self.network.position(*batch.images.shape[2:]),
            self.network.text(batch.input_ids, batch.attention_mask),
            batch.attention_mask,
        )

    def _mask_losses(
        self, outputs: Outputs, maps: tuple[torch.Tensor, ...], batch: Batch, stage: StageConfig
    ) -> dict[str, torch.Tensor]:
        m = match(outputs.logits[-1], outputs.boxes[-1], batch.targets)
        random = torch.Generator().manual_seed(self.step)
        chosen = torch.randperm(len(m.batch), generator=random)[: stage.mask_objects]
        m = Matches(m.batch[chosen], m.query[chosen], m.target[chosen])
        image = m.batch // (len(batch.captions) // len(batch.images))
        hidden, memory = outputs.hidden[m.batch, m.query], outputs.memory[m.batch]
        with autocast():
            logits = self.network.masks(hidden, memory, image, *maps)
        truth = true_masks(batch.scene.maps, image, matched_objects(m, batch.scene.objects))
        focal, dice = mask_losses(logits.float(), truth, max(len(chosen), 1))
        return {"mask": stage.loss.mask * focal, "dice": stage.loss.dice * dice}

    def train_step(self, batch: Batch, stage: StageConfig) -> dict[str, float]:
        """One optimiser step."""
        set_modes(self.network, stage)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, stage)
            group["weight_decay"] = stage.weight_decay
        losses = self.losses(batch, stage)
        total = sum(v for k, v in losses.items() if not k.isupper())
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self._average_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), stage.clip_norm)
        if not torch.isfinite(norm):
            raise FloatingPointError(
                f"stage {self.stage} step {self.step}: the gradient is not finite; "
                f"lower the learning rate or resume from {self.out / 'checkpoint.pth'}"
            )
        self.optimizer.step()
        self.step += 1
        decay = min(stage.ema_decay, (1 + self.step) / (10 + self.step))
        self.ema.update(self.network, decay)
        return {k: float(v.detach()) for k, v in losses.items()} | {"loss": float(total.detach())}

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

    def _stop(self, deadline: float) -> bool:
        """Whether the time is up, as the first process sees it."""
        late = torch.tensor(float(time.monotonic() > deadline))
        if self.world > 1:
            dist.broadcast(late, 0)
        return bool(late)

    def run(self, train: Data, val: Data | None, every: int, minutes: float) -> None:
        """Train to the end of the last stage, evaluating and saving every `every` steps and
        stopping early after `minutes`."""
        deadline = time.monotonic() + 60 * minutes
        torch.set_flush_denormal(True)
        while self.stage < len(self.config.stages):
            stage = self.config.stages[self.stage]
            if stage.masks_only and self.step == 0:
                self.network.load_state_dict(self.ema.network.state_dict())
            bar = tqdm(
                total=stage.steps,
                initial=self.step,
                desc=f"stage {self.stage}",
                mininterval=5,
                disable=self.rank > 0,
            )
            sums: dict[str, float] = {}
            count = 0
            while self.step < stage.steps:
                rng = np.random.default_rng([self.config.seed, self.stage, self.step, self.rank])
                share = stage.images // self.world
                batch = train.random(
                    rng,
                    share,
                    stage.captions,
                    stage.brightness,
                    stage.foreign,
                    stage.faults,
                    stage.typos,
                )
                for name, value in self.train_step(batch, stage).items():
                    sums[name] = sums.get(name, 0.0) + value
                count += 1
                bar.update()
                late = self._stop(deadline)
                if self.step % every == 0 or self.step == stage.steps or late:
                    if self.rank == 0:
                        row = {k: v / count for k, v in sums.items()}
                        if val is not None and not stage.words_only:
                            row |= evaluate(self.ema.network, val, 16, self.config.data.val_images)
                        self.log(row)
                        self.save()
                    sums, count = {}, 0
                if late:
                    return
            bar.close()
            self.stage, self.step = self.stage + 1, 0
            self.optimizer = self._optimizer()
            if self.rank == 0:
                self.save()

    def log(self, row: dict[str, float]) -> None:
        """Append to curves.csv (long form: a line per value) and print."""
        path = self.out / "curves.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["stage", "step", "name", "value"])
            for name, value in row.items():
                writer.writerow([self.stage, self.step, name, f"{value:.5f}"])
        text = " ".join(f"{k} {v:.3f}" for k, v in row.items())
        tqdm.write(f"[{time.strftime('%H:%M:%S')}] stage {self.stage} step {self.step}: {text}")


def restore(path: Path) -> tuple[Config, MDETR | DETRsegm]:
    """The configuration and the averaged network of a checkpoint."""
    saved = torch.load(path, weights_only=True)
    config = configs.from_dict(saved["config"])
    network = build(config.network)
    network.load_state_dict(saved["model_ema"])
    return config, network.eval()
