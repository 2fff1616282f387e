"""The trainer: stages of steps, checkpoints that survive an interruption, CSV curves."""

import copy
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
from .config import Config, StageConfig
from .data import Batch, Data
from .evaluate import autocast, evaluate
from .losses import answer_losses, detection_losses, token_losses
from .network import MDETR
from .words import Words


class Ema:
    """Exponential moving average of a network's whole state."""

    def __init__(self, network: MDETR):
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: MDETR, decay: float) -> None:
        state = network.state_dict()
        for name, average in self.network.state_dict().items():
            if average.is_floating_point():
                average.lerp_(state[name], 1 - decay)
            else:
                average.copy_(state[name])


def learning_rate(step: int, s: StageConfig) -> float:
    """Linear warm-up, constant, linear decay over the stage's last steps."""
    rate = s.lr * min(1.0, (step + 1) / max(s.warmup, 1))
    if s.decay:
        rate *= min(1.0, (s.steps - step) / s.decay)
    return rate


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
        self.network = MDETR(config.network).to(memory_format=torch.channels_last)
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

    def start_from(self, network: MDETR) -> None:
        """Take over the weights of a network of the same structure."""
        self.network.load_state_dict(network.state_dict())
        self.ema = Ema(self.network)

    def losses(self, batch: Batch, stage: StageConfig) -> dict[str, torch.Tensor]:
        """Weighted losses of a batch; names in capitals are shown, not trained."""
        height, width = batch.images.shape[2:]
        with autocast():
            tokens = self.network.vision(batch.images)
            words, accuracy = self.words.loss(self.network, tokens, batch)
            result = {"words": max(stage.loss.words, float(stage.words_only)) * words}
            result |= {f"ACC{i}": a for i, a in enumerate(accuracy)}
            if stage.words_only:
                return result
            k = len(batch.captions) // len(tokens)
            text = self.network.text(batch.input_ids, batch.attention_mask)
            outputs = self.network(
                tokens.repeat_interleave(k, 0),
                self.network.position(height, width),
                text,
                batch.attention_mask,
            )
        result |= detection_losses(outputs, batch.targets, stage.loss)
        result |= answer_losses(outputs.answers, batch.answers, stage.loss.qa)
        if stage.loss.tokens > 0:
            result |= token_losses(
                outputs,
                batch.cells.repeat_interleave(k, 0),
                batch.boxes.repeat_interleave(k, 0),
                batch.objects,
                batch.targets,
                stage.loss,
            )
        return result

    def train_step(self, batch: Batch, stage: StageConfig) -> dict[str, float]:
        """One optimiser step."""
        self.network.train()
        for part in (self.network.backbone, self.network.input_proj):
            part.train(not stage.frozen_vision).requires_grad_(not stage.frozen_vision)
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
                batch = train.random(rng, share, stage.captions, stage.brightness, stage.foreign)
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


def restore(path: Path) -> tuple[Config, MDETR]:
    """The configuration and the averaged network of a checkpoint."""
    saved = torch.load(path, weights_only=True)
    config = configs.from_dict(saved["config"])
    network = MDETR(config.network)
    network.load_state_dict(saved["model_ema"])
    return config, network.eval()
