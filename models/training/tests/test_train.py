"""The trainer learns, stops, resumes and keeps its place."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_data import QUESTIONS, with_questions, write_dataset

from mdetr_training import __main__, weights
from mdetr_training import tokenizer as tokenizers
from mdetr_training.config import Config, LossConfig, StageConfig
from mdetr_training.data import ATTRIBUTES, Data
from mdetr_training.evaluate import evaluate
from mdetr_training.feed import Scenes
from mdetr_training.network import MDETR
from mdetr_training.segmentation import build
from mdetr_training.train import Trainer, learning_rate, restore, set_modes


def test_learning_rate():
    stage = StageConfig(steps=100, warmup=10, decay=50, lr=1.0)
    assert learning_rate(0, 100, stage) == 0.1
    assert learning_rate(20, 100, stage) == 1.0
    assert learning_rate(75, 100, stage) == 0.5


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
    trainer.run(Scenes(config, data, data), every=20, minutes=60)
    rows = [line.split(",") for line in (out / "curves.csv").read_text().splitlines()[1:]]
    losses = [float(r[3]) for r in rows if r[2] == "loss" and r[0] == "1"]
    assert losses[-1] < losses[0] / 2
    restored_config, network = restore(out / "checkpoint.pth")
    assert restored_config == config
    metrics = evaluate(network, data.ordered(1, 1))
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


def from_their_objects(config: Config) -> Config:
    """Answers read from objects, with the words that this takes."""
    words = [word for values in ATTRIBUTES.values() for word in values]
    network = replace(config.network, answer_attributes=words, answers_from_objects=True)
    return replace(config, network=network)


@pytest.mark.parametrize("from_objects", [False, True])
def test_learns_to_answer(tmp_path: Path, tokenizer: Path, config: Config, from_objects: bool):
    write_dataset(tmp_path / "set", QUESTIONS)
    stage = StageConfig(steps=120, warmup=5, lr=2e-3, images=1, captions=5, clip_norm=1.0)
    config = replace(with_questions(config), stages=[stage])
    if from_objects:
        config = from_their_objects(config)
    data = Data([str(tmp_path / "set")], tokenizers.load(tokenizer), config, stride=16)
    trainer = Trainer(config, tokenizers.load(tokenizer), tmp_path)
    before = evaluate(trainer.network, data.ordered(1, 1))
    assert before["qa"] < 1.0
    for _ in range(stage.steps):
        batch = data.random(np.random.default_rng(trainer.step), 1, 5, 0.0, 0.0)
        losses = trainer.train_step([batch], stage, stage.steps)
    assert ("qa_roles" in losses) == from_objects
    after = evaluate(trainer.network, data.ordered(1, 1))
    families = ["qa", "qa/count", "qa/exist", "qa/query-attribute"]
    assert [after[name] for name in families] == [1.0] * 4


def test_learns_masks_and_nothing_else(tmp_path: Path, tokenizer: Path, config: Config):
    write_dataset(tmp_path / "set")
    stages = [
        StageConfig(steps=2, lr=1e-3, images=1, captions=2),
        StageConfig(
            steps=60, warmup=5, lr=5e-3, images=1, captions=2, clip_norm=1.0, mask_objects=1
        ),
    ]
    stages[1].masks_only, stages[1].ema_decay = True, 0.9
    network = replace(config.network, masks=True, mask_width=16)
    config = replace(config, network=network, stages=stages)
    data = Data([str(tmp_path / "set")], tokenizers.load(tokenizer), config, stride=16)
    trainer = Trainer(config, tokenizers.load(tokenizer), tmp_path)
    trainer.run(Scenes(config, data, data), every=30, minutes=60)
    rows = [line.split(",") for line in (tmp_path / "curves.csv").read_text().splitlines()]
    losses = [[float(r[3]) for r in rows if r[2] == name] for name in ("mask", "dice")]
    assert all(name[-1] < name[0] / 2 for name in losses)
    averaged = trainer.ema.network.state_dict()
    for name, value in trainer.network.state_dict().items():
        trained = name.startswith(("mask_head.", "bbox_attention."))
        assert trained or torch.equal(value, averaged[name]), name
    assert not trainer.network.detr.backbone.training
    _, restored = restore(tmp_path / "checkpoint.pth")
    assert evaluate(restored, data.ordered(1, 1))["miou"] > 0.9


def test_masks_are_those_that_the_graph_draws(config: Config):
    torch.manual_seed(0)
    network = build(replace(config.network, masks=True)).eval()
    maps = network.vision(torch.randn(2, 3, 64, 80))
    ids = torch.randint(5, 300, (2, 7))
    mask = torch.ones_like(ids)
    text, position = network.text(ids, mask), network.position(64, 80)
    with torch.no_grad():
        outputs = network(maps[0], position, text, mask)
        image, query = torch.tensor([1, 0, 1]), torch.tensor([4, 2, 0])
        hidden, memory = outputs.hidden[image, query], outputs.memory[image]
        found = network.masks(hidden, memory, image, *maps)
        for i, q, one in zip(image.tolist(), query.tolist(), found, strict=True):
            alone = [m[i : i + 1] for m in maps]
            fused = network.fusion(alone[0], position, text[i : i + 1], mask[i : i + 1])
            named = dict(zip(network.fusion_outputs, fused, strict=True))
            expected = network.mask(named["hidden"][:, [q]], named["memory"], *alone)
            torch.testing.assert_close(one, expected[0, 0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (StageConfig(mask_objects=4), r"stages\[0\].mask_objects: .* set network.masks = true"),
        (StageConfig(masks_only=True), r"stages\[0\].mask_objects: expected at least 1"),
        (StageConfig(past_only=True), r"stages\[0\].past_only: .* set network.past"),
        (StageConfig(clips=2, lost_only=True), r"stages\[0\].lost_only: .* set network.lost"),
        (StageConfig(kept=3), r"stages\[0\].kept: expected 0 without past_only or lost_only"),
    ],
)
def test_stages_that_the_network_cannot_train(
    stage: StageConfig, message: str, tokenizer: Path, config: Config, tmp_path: Path
):
    with pytest.raises(ValueError, match=message):
        Trainer(replace(config, stages=[stage]), tokenizers.load(tokenizer), tmp_path)


def test_frozen_norms_keep_their_statistics(config: Config):
    network = build(replace(config.network, masks=True))
    norm = network.detr.backbone[0].body.bn1
    set_modes(network, StageConfig(frozen_norms=True))
    before = norm.running_mean.clone(), norm.running_var.clone()
    network.vision(3 + torch.randn(2, 3, 64, 64))[0].sum().backward()
    assert torch.equal(norm.running_mean, before[0]) and torch.equal(norm.running_var, before[1])
    assert norm.weight.grad.any() and network.detr.backbone[0].body.conv1.weight.grad.any()
    assert network.detr.transformer.training
    assert not network.mask_head.out_lay.weight.requires_grad
    set_modes(network, StageConfig(mask_objects=1))
    assert norm.training and network.mask_head.out_lay.weight.requires_grad
    set_modes(network, StageConfig(frozen_vision=True))
    assert not norm.training and not norm.weight.requires_grad


def test_what_reads_the_past_alone(config: Config):
    network = build(replace(config.network, past=2, aligned_logits=True))
    set_modes(network, StageConfig(past_only=True))
    trained = [name for name, p in network.named_parameters() if p.requires_grad]
    assert trained and all(name.startswith("past.") for name in trained)
    assert network.past.training and not network.transformer.training
    set_modes(network, StageConfig())
    assert network.transformer.training and network.align_scale.requires_grad


def test_what_reads_of_what_is_hidden_alone(config: Config):
    network = build(replace(config.network, past=2, lost=2))
    set_modes(network, StageConfig(lost_only=True))
    trained = [name for name, p in network.named_parameters() if p.requires_grad]
    assert trained and all(name.startswith("lost.") for name in trained)
    assert network.lost.training and not network.past.training
    set_modes(network, StageConfig())
    assert network.transformer.training


def with_heads(config: Config) -> Config:
    return replace(config, network=replace(with_questions(config).network, masks=True))


def test_starts_new_heads(tokenizer: Path, config: Config, network: MDETR, tmp_path: Path):
    trainer = Trainer(with_heads(config), tokenizers.load(tokenizer), tmp_path)
    new = trainer.start_from(network, new_heads=True)
    given = {f"detr.{name}": value for name, value in network.state_dict().items()}
    state = trainer.network.state_dict()
    assert set(new) == set(state) - set(given)
    assert {"detr.qa_embed.weight", "detr.answer_attr_head.bias", "mask_head.lay1.weight"} < set(
        new
    )
    for mine in (state, trainer.ema.network.state_dict()):
        for name, value in given.items():
            assert torch.equal(mine[name], value), name


def test_starts_with_aligned_logits(
    tokenizer: Path, config: Config, network: MDETR, tmp_path: Path
):
    config = replace(config, network=replace(config.network, aligned_logits=True))
    trainer = Trainer(config, tokenizers.load(tokenizer), tmp_path)
    with pytest.raises(ValueError, match=r"network\.aligned_logits: expected False, found True"):
        trainer.start_from(network)
    assert trainer.start_from(network, new_heads=True) == ["align_scale"]


def test_new_heads_are_kept(tokenizer: Path, config: Config, tmp_path: Path):
    """Weights that have them already give them to a network with one more."""
    questions = build(with_questions(config).network)
    trainer = Trainer(with_heads(config), tokenizers.load(tokenizer), tmp_path)
    new = trainer.start_from(questions, new_heads=True)
    assert all(name.startswith(("bbox_attention.", "mask_head.")) for name in new)


def test_starts_to_read_answers_from_objects(tokenizer: Path, config: Config, tmp_path: Path):
    target = from_their_objects(with_questions(config))
    source = replace(target.network, answers_from_objects=False)
    trainer = Trainer(target, tokenizers.load(tokenizer), tmp_path)
    new = trainer.start_from(build(source), new_heads=True)
    assert new and all(name.startswith("answer_readout.") for name in new)


def test_words_of_answers_keep_their_classes(config: Config):
    source = with_questions(config).network
    target = replace(source, answer_attributes=source.answer_attributes[::-1], masks=True)
    with pytest.raises(ValueError, match=r"network\.answer_attributes: expected"):
        weights.transfer(build(source), build(target), new_heads=True)


@pytest.mark.parametrize(
    ("changes", "new_heads", "message"),
    [
        ({}, False, "network.answers: expected '', found 'clevr'"),
        ({"answers": "", "masks": False, "answer_attributes": [], "heads": 2}, True, "heads: exp"),
        ({"queries": 12, "query_grid": [3, 4]}, True, "queries: expected 6, found 12"),
        ({"encoder_layers": 3}, True, "layers.2.linear1.weight: not in the weights"),
        ({"decoder_layers": 1}, True, "layers.1.linear1.weight: not in the network"),
        ({"ffn": 40}, True, r"linear1.bias: expected \(40,\), found \(48,\)"),
    ],
)
def test_other_weights_are_refused(
    changes: dict, new_heads: bool, message: str, config: Config, network: MDETR
):
    target = build(replace(with_heads(config).network, **changes))
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        weights.transfer(network, target, new_heads)
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def begin(trainer: Trainer, init: Path | None, **options) -> None:
    given = {"new_heads": False, "first_stage": 0, "backbone": None, "text_encoder": None} | options
    network = __main__.initial(init)[1] if init else None
    __main__.begin(trainer, Namespace(out=trainer.out, init=init, **given), network)


def test_begins_as_told(
    tokenizer: Path, config: Config, network: MDETR, tmp_path: Path, capsys: pytest.CaptureFixture
):
    kept = tmp_path / "weights.safetensors"
    weights.save(kept, config, network)
    config = replace(with_heads(config), stages=[StageConfig(), StageConfig()])
    trainer = Trainer(config, tokenizers.load(tokenizer), tmp_path)
    with pytest.raises(ValueError, match="Other answer or mask heads need --new-heads"):
        begin(trainer, kept)
    with pytest.raises(ValueError, match="--first-stage: expected 0 to 1, found 2"):
        begin(trainer, kept, first_stage=2)
    with pytest.raises(ValueError, match="expected --init FILE"):
        begin(trainer, None, new_heads=True)
    capsys.readouterr()
    begin(trainer, kept, new_heads=True, first_stage=1)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == f"stage 1, from {kept}"
    assert "  new: mask_head.out_lay.bias" in printed
    assert (trainer.stage, trainer.step) == (1, 0)
    trainer.step = 7
    trainer.save()
    again = Trainer(config, tokenizers.load(tokenizer), tmp_path)
    begin(again, kept, new_heads=True, first_stage=1)
    assert (again.stage, again.step) == (1, 7)
