"""Loads a checkpoint of our trainer with the official code, and goes on with both.

    python models/training/tests/official/checkpoint.py --official FOLDER

FOLDER as for training.py beside it. The official network, its averages and its optimiser take the
file over as main.py does with --resume, strictly; after one more step on the same batch with each
side's own loop all parameters are compared.
"""

import argparse
import copy
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from training import (
    build_official,
    cases,
    largest,
    load_official,
    official_batch,
    official_epoch,
    official_optimizer,
)

from mdetr_training.config import Config, DataConfig, SourceConfig, StageConfig
from mdetr_training.train import LATEST, Trainer

STEPS = 3


def trainer(case: cases.Case, out: Path) -> Trainer:
    """Ours, on the case's network and rates."""
    stage = StageConfig(
        epochs=10,
        schedule="step",
        lr=cases.RATES.rest,
        lr_backbone=cases.RATES.backbone,
        lr_text_encoder=cases.RATES.text_encoder,
        images=3,
        ema_decay=cases.EMA_DECAY,
        ema_warmup=False,
        loss=replace(case.loss),
        masks_only=case.network.masks,
        mask_objects=1000 * case.network.masks,
    )
    data = DataConfig(sources=[SourceConfig("none")])
    config = Config(network=case.network, data=data, stages=[stage])
    found = Trainer(config, cases.tokenizer(), out)
    found.network.load_state_dict(cases.network(case).state_dict())
    found.per_epoch = STEPS
    return found


def check(code, name: str, folder: Path) -> float:
    """The largest difference of a parameter after both have gone on."""
    case = cases.CASES[name]
    ours = trainer(case, folder)
    (stage,) = ours.config.stages
    for step in range(STEPS):
        ours.train_step([cases.batch(case, step)], stage, 100)
    ours.save()
    network, *criteria, weights, args = build_official(code, case)
    saved = torch.load(folder / LATEST, map_location="cpu", weights_only=False)
    missing = set(vars(args)) - set(vars(saved["args"]))
    print(f"{name}: epoch {saved['epoch']}, {len(missing)} of {len(vars(args))} arguments not kept")
    network.load_state_dict(saved["model"])
    average = copy.deepcopy(network)
    average.load_state_dict(saved["model_ema"])
    optimizer = official_optimizer(network, args)
    optimizer.load_state_dict(saved["optimizer"])
    ours.train_step([cases.batch(case, STEPS)], stage, 100)
    batches = [official_batch(code, case, STEPS)]
    official_epoch(code, network, criteria, weights, batches, optimizer, average, args, 0)
    mine = ours.network.state_dict()
    pairs = [(n, v - mine[n]) for n, v in network.state_dict().items()]
    return max(largest(cases.without_key_bias(n, d)) for n, d in pairs if d.is_floating_point())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--official", type=Path, required=True)
    args = parser.parse_args()
    code = load_official(args.official)
    torch.cpu._is_avx512_bf16_supported = lambda: False
    for name in cases.CASES:
        with tempfile.TemporaryDirectory() as folder:
            print(f"{name}: largest difference {check(code, name, Path(folder)):.1e}")


if __name__ == "__main__":
    main()
