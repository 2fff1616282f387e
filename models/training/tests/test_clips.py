"""Clips: what is known when, which instants are which others' past; a tokenizer for new words."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer

from mdetr_training import tokenizer as tokenizers
from mdetr_training.clips import ClipFolder, described
from mdetr_training.config import Config, LossConfig, StageConfig
from mdetr_training.criterion import losses
from mdetr_training.evaluate import outcomes
from mdetr_training.kept import decoded
from mdetr_training.network import MDETR
from mdetr_training.segmentation import build
from mdetr_training.words import Words

BALL = {"size": "small", "colour": "red", "material": "matte", "shape": "sphere"}
CUBE = {"size": "large", "colour": "green", "material": "shiny", "shape": "cube"}
MOVING = {
    "text": "a moving ball",
    "kind": "moves",
    "known": [True, False, True],
    "phrases": [{"spans": [[0, 13]], "objects": [[], [], [0]]}],
}
ASKS = {
    "text": "is the cube moving?",
    "kind": "ask-moves",
    "known": [True, True, True],
    "phrases": [{"spans": [[3, 11]], "objects": [[1], [1], []]}],
    "answer": [None, "no", None],
}


@pytest.fixture
def folder(config: Config, tokenizer: Path, tmp_path: Path) -> ClipFolder:
    """Two clips of three frames; the cube is gone in the last."""
    rng = np.random.default_rng(0)
    lines = []
    for clip in ("000000", "000001"):
        frames = []
        for n, time in enumerate([1.0, 1.25, 8.0]):
            file = f"frames/{clip}/{n:03}.png"
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 255, (96, 128, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / file)
            boxes = [[8 * n, 8, 16, 16], [64, 32, 32, 48] if n < 2 else None]
            frames.append({"file": file, "time": time, "boxes": boxes})
        lines.append(
            {
                "clip": clip,
                "size": [128, 96],
                "objects": [BALL, CUBE],
                "frames": frames,
                "captions": [MOVING, ASKS],
            }
        )
    (tmp_path / "clips.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    answering = replace(config.network, past=2, answers="clevr")
    return ClipFolder(
        tmp_path, Tokenizer.from_file(str(tokenizer)), replace(config, network=answering)
    )


def test_rows_are_clips_then_instants_then_captions(folder: ClipFolder):
    batch = folder.batch([(0, [0, 1]), (1, [1, 0])])
    assert batch.images.shape == (6, 3, 64, 85)
    assert [c.kind for c in batch.captions] == ["moves", "ask-moves"] * 3 + [
        "ask-moves",
        "moves",
    ] * 3
    assert batch.remembered.rows[2].tolist()[:1] == [0]
    assert batch.remembered.rows[9].tolist()[:1] == [7]
    assert batch.remembered.age[2].tolist() == [0.25, 0.0]
    # After seven seconds the first two are not remembered any more.
    assert batch.remembered.age[4].tolist() == [0.0, 0.0]


def test_a_stream_remembers_an_instant_every_0_4_seconds(folder: ClipFolder):
    times = [0.0, 0.2, 0.4, 0.5, 0.9, 1.3]
    frames = [dict(folder.clips[0]["frames"][0], time=time) for time in times]
    folder.clips[0] = dict(folder.clips[0], frames=frames)
    remembered = folder._remembered([(0, [0])])
    torch.testing.assert_close(
        remembered.age,
        torch.tensor([[0.0, 0.0], [0.2, 0.0], [0.4, 0.0], [0.1, 0.5], [0.5, 0.9], [0.4, 0.9]]),
    )
    assert remembered.rows[3:].tolist() == [[2, 0], [2, 0], [4, 2]]


def test_captions_that_change_are_drawn_more_often(folder: ClipFolder):
    changing = dict(MOVING, known=[True, True, True])
    always = dict(MOVING, kind="now", phrases=[{"spans": [[0, 13]], "objects": [[0], [0], [0]]}])
    folder.clips[0] = dict(folder.clips[0], captions=[changing, ASKS, always])
    folder.rarity = dict.fromkeys(["moves", "ask-moves", "now"], 1.0)
    weights = folder.weights(0)
    np.testing.assert_allclose(weights / weights[2], [4.0, 4.0, 1.0])


def test_rare_kinds_of_captions_are_drawn_more_often(config: Config, tokenizer: Path, tmp_path):
    rare = dict(MOVING, kind="passed")
    frame = {"file": "frames/0.png", "time": 1.0, "boxes": [[8, 8, 16, 16], None]}
    captions = [MOVING] * 8 + [rare] * 2
    line = {"size": [128, 96], "objects": [BALL, CUBE], "frames": [frame], "captions": captions}
    (tmp_path / "frames").mkdir()
    Image.new("RGB", (128, 96)).save(tmp_path / frame["file"])
    (tmp_path / "clips.jsonl").write_text(json.dumps(line) + "\n")
    weights = ClipFolder(tmp_path, Tokenizer.from_file(str(tokenizer)), config).weights(0)
    np.testing.assert_allclose(weights[8:] / weights[:2], [2.0, 2.0])


def test_what_is_known_now_and_before_anything_is_remembered(folder: ClipFolder):
    targets = folder.batch([(0, [0, 1])]).targets
    assert targets.known.tolist() == [True, True, False, True, True, True]
    # Of the moving ball: nothing at first, unknown, then the ball.
    assert targets.valid[[0, 2, 4]].any(1).tolist() == [False, False, True]
    # What knows no past answers with every ball.
    assert targets.early.valid[[0, 2, 4]].sum(1).tolist() == [1, 1, 1]
    torch.testing.assert_close(targets.boxes[4, 0], torch.tensor([24 / 128, 16 / 96, 0.125, 1 / 6]))
    answers = folder.batch([(0, [0, 1])]).answers["binary"]
    assert (answers >= 0).tolist() == [False, False, False, True, False, False]


HIDDEN = {
    "text": "the cube that went behind the ball",
    "kind": "went-behind",
    "known": [True, True, True],
    "phrases": [
        {"spans": [[0, 8]], "objects": [[], [], [1]]},
        {"spans": [[26, 34]], "objects": [[0], [0], [0]]},
    ],
}


def test_what_is_named_and_not_seen_is_hidden(folder: ClipFolder):
    folder.clips[0] = dict(folder.clips[0], captions=[HIDDEN, ASKS])
    targets = folder.batch([(0, [0, 1])]).targets
    assert targets.hidden.objects.tolist() == [[-1], [-1], [-1], [-1], [1], [-1]]
    ids = folder.tokenizer.encode(HIDDEN["text"])
    named = targets.hidden.positive[4, 0].nonzero()[:, 0].tolist()
    assert [HIDDEN["text"][slice(*ids.offsets[t])].strip() for t in named][-1] == "cube"
    assert max(ids.offsets[t][1] for t in named) == 8
    # The ball alone is grounded as ever.
    assert targets.objects[4, :1].tolist() == [0] and targets.valid[4].sum() == 1


def test_what_is_kept_gives_the_same_losses(folder: ClipFolder):
    torch.manual_seed(0)
    folder.clips[0] = dict(folder.clips[0], captions=[HIDDEN, MOVING])
    network = build(replace(folder.config.network, lost=2)).eval()
    batch = folder.batch([(0, [0, 1])])
    # As if all frames were within a second.
    batch.remembered.age[4:, 0] = 0.5
    kept = decoded(network, batch)
    assert kept.images.numel() < batch.images.numel()
    words = Words(folder.tokenizer, 32)
    for only in ("past_only", "lost_only"):
        stage = StageConfig(loss=LossConfig(words=0.0, tokens=0.0, aux=False), **{only: True})
        expected = losses(network, words, batch, stage)
        found = losses(network, words, kept, stage)
        assert set(found) == set(expected) and "lost" in found
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value)
        assert set(found) == {"lost"} or only == "past_only"


def test_a_noun_phrase_describes_what_it_names():
    objects = [BALL, CUBE]
    assert described("a moving ball", objects) == [0]
    assert described("the large things that stand still", objects) == [1]
    assert described("all boxes", objects) == [1]
    assert described("a blue cube", objects) == []


def test_a_step_of_training_and_what_is_judged(folder: ClipFolder):
    torch.manual_seed(0)
    network = build(folder.config.network)
    assert isinstance(network, MDETR)
    stage = StageConfig(loss=LossConfig(identity=2.0, words=0.0, tokens=0.0))
    batch = folder.batch([(0, [0, 1])])
    found = losses(network, Words(folder.tokenizer, 32), batch, stage)
    assert found["identity"] > 0
    sum(v for k, v in found.items() if not k.isupper()).backward()
    assert network.past.identity.weight.grad.abs().max() > 0
    judged = list(outcomes(network, [folder.batch([(0, [0, 1])])]))
    assert [o.caption.kind for o in judged] == [
        "moves",
        "ask-moves",
        "ask-moves",
        "moves",
        "ask-moves",
    ]
    assert [len(o.caption.phrases) for o in judged] == [0, 1, 1, 1, 0]


def test_a_tokenizer_learns_words_and_forgets_none(tokenizer: Path):
    before = Tokenizer.from_file(str(tokenizer))
    old = ["a small red cube left of the large blue sphere", "all objects"]
    new = ["the ball that rolls to the left", "a ball that has stopped"]
    after = tokenizers.extended(before, new * 3, before.get_vocab_size() + 40)
    assert after.get_vocab_size() <= before.get_vocab_size() + 40
    for text in old:
        assert after.encode(text).ids == before.encode(text).ids
    assert len(after.encode(new[0]).ids) < len(before.encode(new[0]).ids)
    assert "Ġrolls" in after.encode(new[0]).tokens
    for token, number in before.get_vocab().items():
        assert after.get_vocab()[token] == number
    for text in old + new:
        assert after.decode(after.encode(text).ids) == text
