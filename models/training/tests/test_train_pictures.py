"""Training on data sets of pictures: recipes, checkpoints, interruption, what goes wrong."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoints import run
from pictures_files import detection, grounding, truncate, write_json, write_picture
from test_import import compare
from tokenizers import Tokenizer
from torch import Tensor

from mdetr_training import __main__, checkpoint, official, weights
from mdetr_training import config as configs
from mdetr_training import tokenizer as tokenizers
from mdetr_training.config import Config, DataConfig, LossConfig, SourceConfig, StageConfig
from mdetr_training.evaluate import evaluate, outcomes
from mdetr_training.feed import Pictures, share
from mdetr_training.recipe import Schedule
from mdetr_training.segmentation import build
from mdetr_training.train import LATEST, REPORT, Trainer, factors, restore, set_modes

WORDS = [
    "a red car",
    "two dogs left of a small cat",
    "all objects",
    "forklift. pallet. bow.",
]
STAGE = StageConfig(
    epochs=2, warmup=2, lr=1e-3, lr_backbone=1e-4, images=2, clip_norm=1.0, ema_decay=0.9
)


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return tokenizers.train(WORDS * 5, 400)


@pytest.fixture
def pictures(config: Config, tmp_path: Path) -> Config:
    """A tiny network with dropout, grounding and detection data."""
    write_json(tmp_path / "g" / "a.json", grounding(tmp_path / "g"))
    write_json(tmp_path / "d" / "a.json", detection(tmp_path / "d"))
    write_picture(tmp_path / "e" / "0.png")
    sources = [SourceConfig(str(tmp_path / name)) for name in ("g/a.json", "d/a.json", "e")]
    data = DataConfig(sources=sources, val_sources=sources, val_images=0, workers=0)
    network = replace(config.network, dropout=0.1)
    return replace(config, network=network, data=data, stages=[replace(STAGE)])


def trained(config: Config, words: Tokenizer, out: Path, every: int = 0) -> Trainer:
    out.mkdir(exist_ok=True)
    trainer = Trainer(config, words, out)
    if (out / LATEST).exists():
        trainer.resume(out / LATEST)
    trainer.run(Pictures(config, words), every)
    return trainer


def rows(out: Path) -> dict[tuple[int, int, str], str]:
    lines = [line.split(",") for line in (out / "curves.csv").read_text().splitlines()[1:]]
    return {(int(stage), int(step), name): value for stage, step, name, value in lines}


def test_learns_and_reports(pictures: Config, words: Tokenizer, tmp_path: Path):
    pictures.stages = [replace(STAGE, epochs=60, lr_backbone=0.0, lr=2e-3)]
    pictures.network.dropout = 0.0
    pictures.bundle.false_alarms = 0.2
    trainer = trained(pictures, words, tmp_path / "run", every=150)
    values = {k[1:]: float(v) for k, v in rows(tmp_path / "run").items()}
    assert values[300, "loss"] < values[150, "loss"]
    assert values[300, "r1"] > values[0, "r1"]
    config, network = restore(tmp_path / "run" / LATEST)
    assert 0 < config.bundle.score_threshold < 1 != pictures.bundle.score_threshold
    feed = Pictures(config, words)
    nothing = [o for o in outcomes(network, feed.validation()) if not o.caption.phrases]
    alarms = [o.highest > config.bundle.score_threshold for o in nothing]
    assert len(alarms) >= 5 and sum(alarms) <= 0.2 * len(alarms)
    report = (tmp_path / "run" / REPORT).read_text()
    for found in ("wooden pallet", "R@1", "data:image/svg+xml", "the bundle&#x27;s", "false"):
        assert found in report
    assert evaluate(trainer.ema.network, feed.validation())["r1"] == pytest.approx(
        values[300, "r1"], abs=1e-4
    )


class StopError(Exception):
    """Raised where a run is cut."""


def cut(feed: Pictures, after: int) -> Pictures:
    """A feed that ends with an error after so many steps."""
    parts = feed.parts

    def until(number: int, stage: StageConfig, step: int) -> Iterator[list]:
        for i, batches in enumerate(parts(number, stage, step)):
            if i == after:
                raise StopError
            yield batches

    feed.parts = until
    return feed


@pytest.mark.parametrize("at", [1, 5, 8])
def test_interrupted_and_resumed_to_the_bit(
    pictures: Config, words: Tokenizer, tmp_path: Path, at: int
):
    whole = trained(pictures, words, tmp_path / "whole", every=1)
    out = tmp_path / "cut"
    out.mkdir()
    first = Trainer(pictures, words, out)
    with pytest.raises(StopError):
        first.run(cut(Pictures(pictures, words), at), every=1)
    second = trained(pictures, words, out, every=1)
    assert rows(out) == rows(tmp_path / "whole")
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, second.network.state_dict()[name]), name
    for name, value in whole.ema.network.state_dict().items():
        assert torch.equal(value, second.ema.network.state_dict()[name]), name


def test_a_signal_saves_and_stops(pictures: Config, tmp_path: Path, words: Tokenizer):
    pictures.stages = [replace(STAGE, epochs=100_000)]
    content = f"""
import sys
from pathlib import Path
import torch
from tokenizers import Tokenizer
from mdetr_training import config as configs
from mdetr_training.feed import Pictures
from mdetr_training.train import Trainer
torch.set_num_threads(1)
config = configs.from_dict({json.loads(json.dumps(dataclasses.asdict(pictures)))!r})
words = Tokenizer.from_file({str(tmp_path / "words.json")!r})
trainer = Trainer(config, words, Path({str(tmp_path)!r}))
feed = Pictures(config, words)
sys.stdout.reconfigure(line_buffering=True)
trainer.run(feed, 1_000_000)
print("stopped at", trainer.step)
"""
    words.save(str(tmp_path / "words.json"))
    with subprocess.Popen(
        [sys.executable, "-c", content], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if "step 0:" in line:
                break
        process.send_signal(2)
        printed, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    step = int(printed.split()[-1])
    _, place = checkpoint.of_run(tmp_path / LATEST)
    assert place["step"] == step < 1_000


def test_parts_of_a_batch_are_the_batch(pictures: Config, words: Tokenizer, tmp_path: Path):
    """Whatever is normalised by the number of objects is as if the parts were one batch, but that
    each is padded to its own largest picture."""
    pictures.network.dropout = 0.0
    loss = LossConfig(contrastive_align=0.0)
    found = []
    for parts in (1, 2):
        stage = replace(STAGE, images=4, accumulate=parts, loss=loss, frozen_norms=True)
        trainer = Trainer(replace(pictures, stages=[stage]), words, tmp_path)
        feed = Pictures(trainer.config, words)
        trainer.per_epoch = feed.steps_per_epoch(stage)
        batches = next(feed.parts(0, stage, 0))
        assert len(batches) == parts and sum(len(b.captions) for b in batches) == 4
        sums = trainer.train_step(batches, stage, 10)
        found.append(sums)
    assert found[0]["ce"] == pytest.approx(found[1]["ce"], rel=0.02)
    assert found[0]["loss"] == pytest.approx(found[1]["loss"], rel=0.02)


def test_share():
    assert share(StageConfig(images=64, accumulate=8), world=4) == 2
    with pytest.raises(ValueError, match="images: expected a multiple of 4 processes times"):
        share(StageConfig(images=6), world=4)


def test_patience_takes_the_best(pictures: Config, words: Tokenizer, tmp_path: Path):
    """A rate that changes nothing makes no evaluation better than the first."""
    pictures.stages = [replace(STAGE, epochs=50, lr=1e-9, lr_backbone=0.0, patience=2)]
    trainer = Trainer(pictures, words, tmp_path)
    before = {name: value.clone() for name, value in trainer.network.named_parameters()}
    trainer.run(Pictures(pictures, words), 0)
    assert {step for _, step, name in rows(tmp_path) if name == "score"} == {0, 5, 10}
    assert trainer.stage == 1
    for name, value in trainer.network.named_parameters():
        assert torch.equal(value, before[name]), name


def test_freezing(config: Config, pictures: Config):
    network = build(pictures.network)
    set_modes(network, StageConfig(freeze=["backbone", "text"]))
    trained = {name.split(".")[0] for name, p in network.named_parameters() if p.requires_grad}
    assert "backbone" not in trained and {"input_proj", "transformer", "class_embed"} <= trained
    text = dict(network.transformer.text_encoder.named_parameters())
    assert not any(p.requires_grad for p in text.values())
    assert not network.backbone.training and network.transformer.decoder.training


def test_rates_of_the_paper():
    """Official schedules are set after a step, so the first runs at full rates."""
    stage = StageConfig(epochs=10, schedule="linear_with_warmup", lr_drop=5, warmup_share=0.1)
    schedule = Schedule(10, 20, "linear_with_warmup", 5, 0.1)
    assert factors(0, 200, 20, stage) == (1.0, 1.0, 1.0)
    assert factors(1, 200, 20, stage) == schedule.factors(0) == (1.0, 1.0, 0.0)
    assert factors(101, 200, 20, stage)[0] == pytest.approx(0.1)
    trapezoid = StageConfig(steps=10, warmup=2, decay=2)
    assert factors(0, 10, 0, trapezoid) == (0.5, 0.5, 0.5)


def test_checkpoints_have_the_official_form(pictures: Config, words: Tokenizer, tmp_path: Path):
    trained(pictures, words, tmp_path)
    with torch.serialization.safe_globals(checkpoint.SAFE_GLOBALS):
        content = torch.load(tmp_path / LATEST, weights_only=True)
    assert list(content)[:5] == ["model", "model_ema", "optimizer", "epoch", "args"]
    assert content["epoch"] == 1
    args = vars(content["args"])
    assert (args["lr"], args["lr_backbone"], args["text_encoder_lr"]) == (1e-3, 1e-4, 1e-3)
    assert len(content["optimizer"]["param_groups"]) == 3
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("name", ["resnet101", "clevr", "efficientnetB3_phrasecut"])
def test_starts_from_released_weights(
    name: str, words: Tokenizer, tmp_path: Path, capsys: pytest.CaptureFixture
):
    """New heads start anew and are listed, those without a use are left out and listed."""
    source = official.from_random(name, None, reduced=True)
    torch.save(
        {"model": source.network.state_dict(), "model_ema": source.network.state_dict()},
        tmp_path / "released.pth",
    )
    config, network = __main__.initial(tmp_path / "released.pth")
    assert config == source.config
    write_json(tmp_path / "d" / "a.json", detection(tmp_path / "d"))
    (tmp_path / "few.toml").write_text(
        f"""
[network]
answers = "gqa"
answer_classes = [5, 3, 20, 12, 16, 8]
masks = false
contrastive_dim = 0
dropout = 0.0
[input]
short_side = 64
max_long_side = 100
[data]
workers = 0
[[data.sources]]
annotations = "{tmp_path}/d/a.json"
[[stages]]
epochs = 1
schedule = "linear_with_warmup"
lr_backbone = 1e-5
lr_text_encoder = 5e-5
"""
    )
    source.tokenizer.save(str(tmp_path / "tokenizer.json"))
    command = [
        "train", str(tmp_path / "few.toml"), "--tokenizer", str(tmp_path / "tokenizer.json"),
        "--init", str(tmp_path / "released.pth"), "--out", str(tmp_path / "run"), "--device", "cpu",
    ]  # fmt: skip
    if name == "clevr":
        message = "network.answers: expected 'clevr', found 'gqa'"
        with pytest.raises(SystemExit, match=message):
            __main__.main([*command, "--new-heads"])
        return
    with pytest.raises(SystemExit, match="Other answer or mask heads need --new-heads"):
        __main__.main(command)
    with pytest.raises(SystemExit, match=r"freeze: expected backbone or text, found \['head'\]"):
        __main__.main([*command, "--new-heads", "--freeze", "text,head"])
    __main__.main([*command, "--new-heads", "--freeze", "backbone,text"])
    printed = capsys.readouterr().out
    assert "  new: qa_embed.weight" in printed
    unused = "mask_head.lay1.weight" if "phrasecut" in name else "contrastive_align_projection"
    assert f"  left out: {unused}" in printed
    assert (tmp_path / "run" / "tokenizer.json").exists()
    _, network = restore(tmp_path / "run" / LATEST)
    before = source.network.state_dict()
    prefix = "detr." if "phrasecut" in name else ""
    same = {
        key: torch.equal(value, before[prefix + key])
        for key, value in network.state_dict().items()
        if prefix + key in before
    }
    assert not same["class_embed.weight"] and not same["transformer.resizer.fc.weight"]
    assert all(v for key, v in same.items() if "backbone" in key or "text_encoder" in key)


def nothing_trained(path: Path) -> None:
    assert not path.exists() or not list(path.glob("*.partial"))


def test_what_is_wrong_with_the_data_is_named(pictures: Config, words: Tokenizer, tmp_path: Path):
    out = tmp_path / "run"
    truncate(tmp_path / "g" / "2.png")
    pictures.data.workers = 1
    with pytest.raises(ValueError, match=r"g/2\.png"):
        trained(pictures, words, out)
    nothing_trained(out)


def test_stages_that_pictures_cannot_train(pictures: Config, words: Tokenizer, tmp_path: Path):
    for change, message in [
        ({"words_only": True}, r"stages\[0\]: expected no captions, words_only"),
        ({"loss": LossConfig(tokens=1.0)}, r"stages\[0\]: expected no captions, words_only"),
        ({"captions": 2}, r"stages\[0\]: expected no captions, words_only"),
        ({"freeze": ["head"]}, r"stages\[0\]\.freeze: expected backbone or text, found \['head'\]"),
        ({"schedule": "cosine"}, r"stages\[0\]\.schedule: expected trapezoid, step"),
        ({"epochs": 0, "schedule": "step"}, r"stages\[0\]\.epochs: expected at least 1"),
    ]:
        wrong = replace(pictures, stages=[replace(STAGE, **change)])
        with pytest.raises(ValueError, match=message):
            Trainer(wrong, words, tmp_path)
    odd = replace(pictures, data=replace(pictures.data, augmentation="lvis"))
    with pytest.raises(ValueError, match="augmentation: expected grounding or clevr, found 'lvis'"):
        Pictures(odd, words)
    many = replace(pictures, stages=[replace(STAGE, images=64)])
    with pytest.raises(ValueError, match="images: expected at most 11, as many as the data has"):
        trained(many, words, tmp_path)
    patient = replace(pictures, stages=[replace(STAGE, patience=1, metric="miou")])
    with pytest.raises(ValueError, match=r"stages\[0\]\.metric: expected one of .*r1.*'miou'"):
        trained(patient, words, tmp_path)


def test_weights_that_are_no_numbers(pictures: Config, words: Tokenizer, tmp_path: Path):
    trainer = Trainer(pictures, words, tmp_path)
    trainer.save()
    before = (tmp_path / LATEST).read_bytes()
    with torch.no_grad():
        trainer.network.class_embed.weight.fill_(float("nan"))
    with pytest.raises((FloatingPointError, ValueError), match=r"finite|NaN|numeric"):
        trainer.run(Pictures(pictures, words), 0)
    assert (tmp_path / LATEST).read_bytes() == before


def test_a_full_disk_keeps_the_old_checkpoint(pictures: Config, words: Tokenizer, tmp_path: Path):
    """A limit on the size of files is what a process can be given of a full disk."""
    trainer = Trainer(pictures, words, tmp_path)
    trainer.save()
    before = (tmp_path / LATEST).read_bytes()
    code = f"""
import resource, signal
from pathlib import Path
from mdetr_training import checkpoint
from mdetr_training.config import Config, StageConfig
import torch
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) // 2}, {len(before) // 2}))
state = {{"a": torch.zeros({len(before)})}}
try:
    checkpoint.save(
        Path({str(tmp_path / LATEST)!r}), state, state, None, 0, Config(), StageConfig(), {{}}
    )
except OSError as error:
    print(error)
"""
    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert "the checkpoint cannot be written" in printed and "the one before is kept" in printed
    assert (tmp_path / LATEST).read_bytes() == before
    assert not list(tmp_path.glob("*.partial"))
    trainer.resume(tmp_path / LATEST)


def test_killed_while_saving(pictures: Config, words: Tokenizer, tmp_path: Path):
    """Whatever the moment, the checkpoint is one that can be read."""
    trainer = Trainer(pictures, words, tmp_path)
    trainer.save()
    code = f"""
from pathlib import Path
import torch
from mdetr_training import checkpoint
from mdetr_training.config import Config, StageConfig
print("ready", flush=True)
for epoch in range(1, 1000000):
    state = {{"a": torch.full((500000,), float(epoch))}}
    path = Path({str(tmp_path / LATEST)!r})
    place = {{"epoch": epoch}}
    checkpoint.save(path, state, state, None, epoch, Config(), StageConfig(), place)
"""
    rng = np.random.default_rng(1)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        for _ in range(8):
            time.sleep(rng.uniform(0.05, 0.4))
            process.send_signal(signal.SIGSTOP)
            saved, place = checkpoint.of_run(tmp_path / LATEST)
            if "epoch" in place:
                assert (saved["model"]["a"] == place["epoch"]).all()
            process.send_signal(signal.SIGCONT)
        process.kill()
    saved, place = checkpoint.of_run(tmp_path / LATEST)
    assert (saved["model"]["a"] == place["epoch"]).all()


def test_another_network_is_not_resumed(pictures: Config, words: Tokenizer, tmp_path: Path):
    Trainer(pictures, words, tmp_path).save()
    other = replace(pictures, network=replace(pictures.network, decoder_layers=1))
    with pytest.raises(ValueError, match=r"another network \(decoder_layers\)"):
        Trainer(other, words, tmp_path).resume(tmp_path / LATEST)
    state = {"model": build(pictures.network).state_dict()}
    torch.save(state, tmp_path / "released.pth")
    with pytest.raises(ValueError, match="a run of this trainer"):
        Trainer(pictures, words, tmp_path).resume(tmp_path / "released.pth")


def test_what_a_configuration_leaves_out_is_the_weights(tmp_path: Path, pictures: Config):
    path = tmp_path / "few.toml"
    path.write_text("[network]\ndropout = 0.5\n[bundle]\nfalse_alarms = 0.1\n")
    found = configs.load(path, pictures)
    assert found.network == replace(pictures.network, dropout=0.5)
    assert found.input == pictures.input and found.stages == []
    assert found.bundle == replace(pictures.bundle, false_alarms=0.1)
    path.write_text('[[data.sources]]\nannotations = "a"\npictures = {coco = "b", vg = "c"}\n')
    assert configs.load(path).data.sources == [SourceConfig("a", {"coco": "b", "vg": "c"})]
    path.write_text("[[data.sources]]\npictures = 3\n")
    with pytest.raises(ValueError, match=r"data\.sources\[0\]\.pictures: expected text or a table"):
        configs.load(path)


def test_masks_from_annotations(pictures: Config, words: Tokenizer, tmp_path: Path):
    """The mask head learns from polygons, and is measured on them."""
    content = detection(tmp_path / "m")
    for entry in content["annotations"]:
        x, y, w, h = entry["bbox"]
        entry["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    content["annotations"] = [a for a in content["annotations"] if not a["iscrowd"]]
    source = SourceConfig(str(write_json(tmp_path / "m" / "a.json", content)))
    data = DataConfig(sources=[source], val_sources=[source], val_images=0, workers=0)
    stages = [
        replace(STAGE, epochs=1),
        replace(STAGE, epochs=20, lr=5e-3, masks_only=True, mask_objects=100),
    ]
    network = replace(pictures.network, masks=True, mask_width=16, dropout=0.0)
    config = replace(pictures, data=data, stages=stages, network=network)
    trained(config, words, tmp_path / "run", every=20)
    values = {k: float(v) for k, v in rows(tmp_path / "run").items()}
    first, last = values[1, 20, "dice"], values[1, 40, "dice"]
    assert last < first and values[1, 40, "miou"] > 0


def tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for v in value.values():
            yield from tensors(v)


def test_nothing_random_is_left_to_chance(pictures: Config, words: Tokenizer, tmp_path: Path):
    """The same run twice, with other numbers from the global generators in between."""
    one = trained(pictures, words, tmp_path / "one")
    torch.manual_seed(99)
    np.random.seed(99)
    two = trained(pictures, words, tmp_path / "two")
    states = one.optimizer.state_dict(), two.optimizer.state_dict()
    pairs = zip(tensors(states[0]), tensors(states[1]), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


FEW = """
[data]
workers = 0
val_images = 0
[[data.sources]]
annotations = "{folder}/d/a.json"
[[data.val_sources]]
annotations = "{folder}/d/a.json"
[[stages]]
epochs = 3
images = 4
accumulate = {parts}
lr = 1e-4
frozen_norms = true
[stages.loss]
contrastive_align = 0.0
"""


def test_two_processes_are_one(config: Config, words: Tokenizer, tmp_path: Path):
    """Of equal weights and batches, two processes learn what one does in two parts."""
    write_json(tmp_path / "d" / "a.json", detection(tmp_path / "d", 8))
    words.save(str(tmp_path / "words.json"))
    torch.manual_seed(3)
    weights.save(tmp_path / "start.safetensors", config, build(config.network))
    found = []
    for processes in (1, 2):
        recipe = tmp_path / f"{processes}.toml"
        recipe.write_text(FEW.format(folder=tmp_path, parts=2 // processes))
        out = tmp_path / f"run-{processes}"
        launch = ["torch.distributed.run", "--standalone", "--nproc_per_node", str(processes), "-m"]
        subprocess.run(
            [
                sys.executable,
                "-m",
                *launch,
                "mdetr_training",
                "train",
                str(recipe),
                "--tokenizer",
                str(tmp_path / "words.json"),
                "--out",
                str(out),
                "--every",
                "0",
                "--init",
                str(tmp_path / "start.safetensors"),
                "--device",
                "cpu",
            ],
            check=True,
            capture_output=True,
            timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        found.append({k: float(v) for k, v in rows(out).items()})
    # Each process logs its own losses.
    assert set(found[0]) == set(found[1]) and found[0][0, 6, "ce"] != found[0][0, 2, "ce"]
    _, first = restore(tmp_path / "run-1" / LATEST)
    _, second = restore(tmp_path / "run-2" / LATEST)
    _, start = weights.load(tmp_path / "start.safetensors")
    states = (first.state_dict(), second.state_dict(), start.state_dict())
    one, two, before = (torch.cat([v.flatten() for v in state.values()]) for state in states)
    # Parts are padded to their own largest picture, and bf16 rounds: 0.17. Without averaged
    # gradients it is 0.43.
    assert 0 < (one - two).norm() < 0.3 * (one - before).norm()


def test_the_library_takes_a_run(small: Path, roberta: Path, tmp_path: Path):
    """`mdetr import` makes the same bundle of a run's checkpoint as the exporter."""
    source = official.from_random("resnet101", roberta, reduced=True)
    data = DataConfig(sources=[SourceConfig(str(tmp_path / "d/a.json"))], workers=0)
    write_json(tmp_path / "d" / "a.json", detection(tmp_path / "d"))
    stage = replace(STAGE, epochs=1, schedule="linear_with_warmup")
    own = replace(source.config.input)
    config = replace(source.config, data=data, stages=[stage], input=own)
    config.input.short_side, config.input.max_long_side = 64, 100
    trainer = Trainer(config, source.tokenizer, tmp_path)
    trainer.start_from(source.network)
    trainer.run(Pictures(config, source.tokenizer), 0)
    arguments = ("--tokenizer", roberta, "--out", tmp_path / "bundle", "--structures", small)
    done = run("import", tmp_path / LATEST, *arguments)
    assert done.returncode == 0, done.stderr
    _, network = restore(tmp_path / LATEST)
    again = replace(source, network=network)
    dict(official.write(again, tmp_path / "exported", "0.1.0", "fp32", None))
    compare(tmp_path / "bundle", tmp_path / "exported", lambda graph: graph == "vision")
