"""The trainer learns, stops, resumes and keeps its place."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from test_data import QUESTIONS, with_questions, write_dataset

from mdetr_training import tokenizer as tokenizers
from mdetr_training.config import Config, LossConfig, StageConfig
from mdetr_training.data import Data
from mdetr_training.evaluate import evaluate
from mdetr_training.network import MDETR
from mdetr_training.train import Trainer, learning_rate, restore


def test_learning_rate():
    stage = StageConfig(steps=100, warmup=10, decay=50, lr=1.0)
    assert learning_rate(0, stage) == 0.1
    assert learning_rate(20, stage) == 1.0
    assert learning_rate(75, stage) == 0.5


def test_overfits_and_resumes(tmp_path: Path, tokenizer: Path, config: Config):
    write_dataset(tmp_path / "set")
    loss = LossConfig(words=1.0, tokens=1.0, eos_coef=0.3)
    config.stages = [
        StageConfig(steps=3, warmup=1, lr=1e-3, images=1, words_only=True),
        StageConfig(
            steps=60,
            warmup=5,
            lr=2e-3,
            images=1,
            captions=4,
            clip_norm=1.0,
            ema_decay=0.9,
            loss=loss,
        ),
    ]
    data = Data([str(tmp_path / "set")], tokenizers.load(tokenizer), config, stride=16)
    out = tmp_path / "run"
    out.mkdir()
    trainer = Trainer(config, tokenizers.load(tokenizer), out)
    trainer.run(data, data, every=20, minutes=60)
    rows = [line.split(",") for line in (out / "curves.csv").read_text().splitlines()[1:]]
    losses = [float(r[3]) for r in rows if r[2] == "loss" and r[0] == "1"]
    assert losses[-1] < losses[0] / 2
    restored_config, network = restore(out / "checkpoint.pth")
    assert restored_config == config
    metrics = evaluate(network, data, 1, 1)
    assert metrics["r1"] == 1.0
    assert metrics["false/absent"] == 0.0
    again = Trainer(config, tokenizers.load(tokenizer), out)
    again.resume(out / "checkpoint.pth")
    assert (again.stage, again.step) == (2, 0)
    for a, b in zip(again.network.parameters(), trainer.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_starts_from_weights(tokenizer: Path, config: Config, network: MDETR, tmp_path: Path):
    trainer = Trainer(config, tokenizers.load(tokenizer), tmp_path)
    trainer.start_from(network)
    for mine in (trainer.network, trainer.ema.network):
        for name, value in network.state_dict().items():
            assert torch.equal(mine.state_dict()[name], value), name


def test_learns_to_answer(tmp_path: Path, tokenizer: Path, config: Config):
    write_dataset(tmp_path / "set", QUESTIONS)
    stage = StageConfig(steps=60, warmup=5, lr=2e-3, images=1, captions=5, clip_norm=1.0)
    config = replace(with_questions(config), stages=[stage])
    data = Data([str(tmp_path / "set")], tokenizers.load(tokenizer), config, stride=16)
    trainer = Trainer(config, tokenizers.load(tokenizer), tmp_path)
    before = evaluate(trainer.network, data, 1, 1)
    assert before["qa"] < 1.0
    for _ in range(stage.steps):
        batch = data.random(np.random.default_rng(trainer.step), 1, 5, 0.0, 0.0)
        trainer.train_step(batch, stage)
    after = evaluate(trainer.network, data, 1, 1)
    families = ["qa", "qa/count", "qa/exist", "qa/query-attribute"]
    assert [after[name] for name in families] == [1.0] * 4
