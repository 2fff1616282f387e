"""Batches of pictures."""

import copy
import dataclasses
import importlib.util
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from pictures_files import detection, grounding, image, span, truncate, write_json, write_picture
from pictures_files import yolo as write_yolo
from PIL import Image
from tokenizers import Tokenizer

from mdetr_training import tokenizer as tokenizers
from mdetr_training.batch import Batch
from mdetr_training.config import Config
from mdetr_training.pictures import Loader, SourceConfig
from mdetr_training.pictures.loader import PictureCaption

# A folder with the official code, to compare with.
OFFICIAL = os.environ.get("MDETR_OFFICIAL_CODE")
WORDS = ["a red car", "two dogs left of a small cat", "all objects", "forklift. pallet.", "again"]


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return tokenizers.train(WORDS * 5, 400)


@pytest.fixture(scope="module")
def small() -> Config:
    config = Config(seed=7)
    config.input.short_side, config.input.max_long_side = 64, 100
    return config


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[SourceConfig]:
    """Grounding twice over, detection, YOLO, and pictures that show nothing."""
    folder = tmp_path_factory.mktemp("sources")
    write_json(folder / "g" / "a.json", grounding(folder / "g", 8))
    write_json(folder / "d" / "a.json", detection(folder / "d"))
    write_picture(folder / "e" / "0.jpg", (80, 50))
    return [
        SourceConfig(str(folder / "g" / "a.json"), repeat=2),
        SourceConfig(str(folder / "d" / "a.json")),
        SourceConfig(str(write_yolo(folder / "y"))),
        SourceConfig(str(folder / "e")),
    ]


def same(a: object, b: object) -> bool:
    """Whether two values are equal, tensors and all."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def all_same(a: Iterator[Batch], b: Iterator[Batch]) -> bool:
    a, b = list(a), list(b)
    return len(a) == len(b) > 0 and all(map(same, a, b))


def test_batches_do_not_depend_on_workers(sources, words, small):
    loaders = [Loader(sources, words, small, batch=4, workers=n) for n in (0, 1, 2)]
    assert loaders[0].batches == (16 + 4 + 3 + 1) // 4
    for one in loaders[1:]:
        assert all_same(loaders[0].epoch(3), one.epoch(3))
        assert all_same(loaders[0].ordered(5), one.ordered(5))
    assert not all_same(loaders[0].epoch(3), loaders[0].epoch(4))
    other = copy.deepcopy(small)
    other.seed = 8
    assert not all_same(loaders[0].epoch(3), Loader(sources, words, other, batch=4).epoch(3))


def test_a_resumed_epoch_has_the_same_batches(sources, words, small, monkeypatch):
    loader = Loader(sources, words, small, batch=4, workers=0)
    whole = list(loader.epoch(1))
    assert all_same(iter(whole[2:]), Loader(sources, words, small, batch=4).epoch(1, begin=2))
    read = []
    monkeypatch.setattr(
        "mdetr_training.pictures.loader.read_picture",
        lambda path: read.append(path) or Image.new("RGB", (64, 48)),
    )
    list(loader.epoch(1, begin=5))
    assert len(read) == 4
    assert list(loader.epoch(1, begin=6)) == []


def test_an_interrupted_iteration_does_not_disturb_the_next(sources, words, small):
    loader = Loader(sources, words, small, batch=4, workers=2)
    begun = loader.epoch(0)
    first = next(begun)
    assert all_same(loader.epoch(0), loader.epoch(0))
    assert same(first, next(loader.epoch(0)))
    begun.close()


def test_processes_share_pictures_as_the_distributed_sampler_does(sources, words, small):
    class Indices(list):
        pass

    count, world, batch = 24, 5, 2
    seen = []
    for rank in range(world):
        sampler = torch.utils.data.DistributedSampler(
            Indices(range(count)), world, rank, seed=small.seed, drop_last=True
        )
        sampler.set_epoch(2)
        expected = list(sampler)
        loader = Loader(sources, words, small, batch=batch, workers=0, rank=rank, world=world)
        asked = []
        loader.samples = Recorded(loader.samples, asked)
        batches = list(loader.epoch(2))
        assert len(batches) == loader.batches == count // world // batch
        assert asked == expected[: len(batches) * batch]
        seen += asked
    assert len(set(seen)) == len(seen)
    captions = []
    for rank in range(3):
        loader = Loader(sources, words, small, batch=4, workers=0, rank=rank, world=3)
        captions += [(c.place, c.text) for b in loader.ordered() for c in b.captions]
    everyone = Loader(sources, words, small, batch=4, workers=0)
    every = [(c.place, c.text) for b in everyone.ordered() for c in b.captions]
    assert sorted(captions) == sorted(every)
    some = [(c.place, c.text) for b in everyone.ordered(most=6) for c in b.captions]
    assert len(some) == 6
    assert {place.split("/")[-2] for place, _ in some} >= {"g", "d"}


class Recorded(torch.utils.data.Dataset):
    """Samples that note which of them are asked for."""

    def __init__(self, samples, asked: list[int]):
        self.samples, self.asked = samples, asked

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int]):
        self.asked.append(key[1])
        return self.samples[key]


def test_what_is_in_a_batch(tmp_path, words, small):
    value = grounding(tmp_path, 4)
    value["annotations"][1]["bbox"] = [30, 8, 50, 100]
    value["annotations"][2]["bbox"] = [30, 8, 0, 10]
    path = write_json(tmp_path / "a.json", value)
    config = copy.deepcopy(small)
    config.input.short_side = 48
    (batch,) = Loader([SourceConfig(str(path))], words, config, batch=4, workers=0).ordered()
    assert batch.images.shape == (4, 3, 48, 72)
    assert batch.images.dtype == torch.float32
    assert batch.padding[:, 0].sum(1).tolist() == [8, 0, 8, 0]
    assert (batch.images.masked_select(batch.padding[:, None]) == 0).all()
    pixels = np.array(Image.open(tmp_path / "1.png").convert("RGB"), np.float32) / 255
    mean, std = np.array(config.input.mean, np.float32), np.array(config.input.std, np.float32)
    expected = torch.from_numpy((pixels - mean) / std).permute(2, 0, 1)
    assert torch.allclose(batch.images[1], expected, atol=1e-6)
    assert batch.targets.valid.tolist() == [[True, True], [True, False], [True] * 2, [True] * 2]
    assert batch.targets.boxes[0, 1].tolist() == pytest.approx([47 / 64, 28 / 48, 34 / 64, 40 / 48])
    assert batch.targets.boxes[1, 0].tolist() == pytest.approx([43.5 / 72, 14 / 48, 25 / 72, 0.25])
    assert not batch.targets.positive[1, 1].any()
    for b, caption in enumerate(batch.captions):
        assert isinstance(caption, PictureCaption)
        encoding = words.encode(caption.text)
        assert batch.input_ids[b, : len(encoding.ids)].tolist() == encoding.ids
        assert (batch.input_ids[b, len(encoding.ids) :] == tokenizers.PAD_ID).all()
        assert int(batch.attention_mask[b].sum()) == len(encoding.ids)
        named = [batch.targets.positive[b, m].nonzero().flatten().tolist() for m in caption.objects]
        assert named == caption.tokens
    last = batch.captions[1]
    assert last.spans.objects == [span(last.text, "cat")]
    assert (last.kind, last.original_id, last.size) == ("own", 71, (72, 48))
    assert last.picture == str(tmp_path / "1.png")
    assert batch.targets.final is None and batch.targets.masks is None
    assert batch.scene is None


def test_pictures_of_one_size_have_no_padding(tmp_path, words, small):
    path = write_json(tmp_path / "a.json", detection(tmp_path))
    (batch, *_) = Loader([SourceConfig(str(path))], words, small, batch=3, workers=0).ordered()
    assert batch.padding is None


def test_masks_and_chains_are_padded(tmp_path, words, small):
    value = grounding(tmp_path, 2)
    for o in value["annotations"]:
        x, y, w, h = o["bbox"]
        o["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    value["annotations"][0]["isfinal"] = 1
    value["annotations"][1]["isfinal"] = 0
    value["annotations"].pop()
    path = write_json(tmp_path / "a.json", value)
    loader = Loader([SourceConfig(str(path))], words, small, batch=2, workers=0, with_masks=True)
    for batch in (*loader.ordered(), *loader.epoch(0)):
        order = [c.image_id for c in batch.captions]
        height, width = batch.images.shape[2:]
        assert batch.targets.masks.shape == (2, 2, height, width)
        final = batch.targets.final.tolist()
        assert [final[order.index(i)] for i in range(2)] == [[1, 0], [1, 0]]
        for b in range(2):
            if batch.padding is not None:
                assert not (batch.targets.masks[b] & batch.padding[b]).any()
            rows, columns = height, width
            if batch.padding is not None:
                rows = int((~batch.padding[b])[:, 0].sum())
                columns = int((~batch.padding[b])[0].sum())
            for m in batch.targets.valid[b].nonzero().flatten().tolist():
                area = float(batch.targets.boxes[b, m, 2:].prod()) * rows * columns
                assert float(batch.targets.masks[b, m].sum()) == pytest.approx(area, rel=0.15)
        assert not batch.targets.masks[~batch.targets.valid].any()


def test_polygons_of_yolo_are_masks(tmp_path, words, small):
    path = write_yolo(tmp_path)
    config = SourceConfig(str(path))
    with pytest.raises(ValueError, match=r"0.txt: line 1: expected a polygon, found a box"):
        Loader([config], words, small, batch=1, with_masks=True)
    (tmp_path / "labels" / "train" / "0.txt").unlink()
    loader = Loader([config], words, small, batch=1, workers=0, with_masks=True)
    named = [b for b in loader.ordered() if b.targets.valid.any()]
    assert len(named) == 1
    mask = named[0].targets.masks[0, 0]
    assert mask.shape == (64, 85)
    y, x = mask.nonzero().T
    assert [int(v) for v in (x.min(), x.max(), y.min(), y.max())] == pytest.approx(
        [21, 63, 16, 31], abs=2
    )


def test_answers_have_a_class_for_each_head(tmp_path, words, small):
    questions = [
        {"image_filename": "0.png", "question": "how many?", "answer": "3"},
        {"image_filename": "0.png", "question": "is it?", "answer": "no"},
    ]
    write_picture(tmp_path / "0.png")
    path = write_json(tmp_path / "a.json", {"questions": questions})
    config = copy.deepcopy(small)
    config.network.answers = "clevr"
    (batch,) = Loader([SourceConfig(str(path))], words, config, batch=2, workers=0).ordered()
    found = {head: classes.tolist() for head, classes in batch.answers.items()}
    assert found == {"type": [2, 0], "binary": [-1, 0], "reg": [3, -1], "attr": [-1, -1]}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["truncated", "missing", "not a picture", "oblong"])
def test_broken_pictures_are_named(tmp_path, words, small, workers: int, kind: str):
    value = grounding(tmp_path, 8)
    broken = tmp_path / "5.png"
    if kind == "truncated":
        truncate(broken)
    elif kind == "missing":
        broken.unlink()
    elif kind == "oblong":
        write_picture(broken, (900, 9))
    else:
        broken.write_text("nothing")
    path = write_json(tmp_path / "a.json", value)
    loader = Loader([SourceConfig(str(path))], words, small, batch=2, workers=workers)
    found = {
        "truncated": "found: image file is truncated",
        "missing": "expected a picture, found no file",
        "not a picture": "found: cannot identify image file",
        "oblong": "expected sides that differ by a factor of at most 50, found 900 x 9",
    }[kind]
    for batches in (loader.epoch(0), loader.ordered()):
        with pytest.raises(ValueError, match=rf"^{broken}: .*{found}") as error:
            list(batches)
        assert "Traceback" not in str(error.value)


def test_a_truncated_jpeg_is_named(tmp_path, words, small):
    write_picture(tmp_path / "1.jpg", (400, 300))
    truncate(tmp_path / "1.jpg")
    value = {"images": [image(1, "a", file_name="1.jpg")], "annotations": []}
    path = write_json(tmp_path / "a.json", value)
    loader = Loader([SourceConfig(str(path))], words, small, batch=1, workers=1)
    with pytest.raises(ValueError, match=rf"^{tmp_path / '1.jpg'}: .*truncated"):
        next(loader.epoch(0))


def test_captions_must_fit_the_network(tmp_path, words, small):
    value = grounding(tmp_path, 3)
    value["images"][1]["caption"] = "zqx " * 65
    path = write_json(tmp_path / "a.json", value)
    message = r"a.json: images, id 1: caption 'zqx zqx.*: expected at most 255 tokens, found 262;"
    with pytest.raises(ValueError, match=message):
        Loader([SourceConfig(str(path))], words, small, batch=1)
    config = copy.deepcopy(small)
    config.network.text.max_positions = 12
    drawn = write_json(tmp_path / "d" / "a.json", detection(tmp_path / "d"))
    loader = Loader([SourceConfig(str(drawn))], words, config, batch=1, workers=0)
    lengths = [b.input_ids.shape[1] for e in range(20) for b in loader.epoch(e)]
    assert max(lengths) <= 10


def test_too_few_captions_for_a_batch(sources, words, small):
    loader = Loader(sources, words, small, batch=9, workers=0, world=4)
    with pytest.raises(ValueError, match="24 captions: expected at least 36, a batch for each"):
        loader.epoch(0)


def test_captions_in_lower_case(tmp_path, words, small):
    value = grounding(tmp_path, 1)
    value["images"][0]["caption"] = "A Red car"
    path = write_json(tmp_path / "a.json", value)
    config = copy.deepcopy(small)
    config.bundle.case = "lower"
    loader = Loader([SourceConfig(str(path))], words, config, batch=1, workers=0)
    assert next(loader.ordered()).captions[0].text == "a red car"
    value["images"][0]["caption"] = "A Red İar"
    write_json(path, value)
    loader = Loader([SourceConfig(str(path))], words, config, batch=1, workers=0)
    with pytest.raises(ValueError, match=r"id 0: caption .* expected 9 characters in lower case"):
        next(loader.ordered())


def official_coco() -> ModuleType:
    """The official module that makes positive maps."""
    path = Path(__file__).parent / "official" / "transforms_reference.py"
    spec = importlib.util.spec_from_file_location("transforms_reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    before = set(sys.modules), list(sys.path)
    try:
        return module.official(Path(OFFICIAL))[1]
    finally:
        for name in set(sys.modules) - before[0]:
            if name.split(".")[0] in ("datasets", "util"):
                del sys.modules[name]
        sys.path[:] = before[1]


def positive_map(encoding, of_objects: list[list[list[int]]]) -> list[list[int]]:
    """MDETR's rule, written out: the tokens of each object."""

    def at(char: int) -> int | None:
        return encoding.char_to_token(char) if char >= 0 else None

    found = []
    for spans in of_objects:
        tokens = set()
        for begin, end in spans:
            firsts = [t for t in map(at, (begin, begin + 1, begin + 2)) if t is not None]
            lasts = [t for t in map(at, (end - 1, end - 2, end - 3)) if t is not None]
            if firsts and lasts:
                tokens |= set(range(firsts[0], lasts[0] + 1))
        found.append(sorted(tokens))
    return found


def test_words_are_the_tokens_that_the_official_code_finds(words):
    from mdetr_training.captions import Spans

    coco = official_coco() if OFFICIAL else None
    rng = random.Random(5)
    alphabet = "abcde rtüñ日🙂 ,.'-  "
    named = 0
    for _ in range(1500):
        caption = "".join(rng.choices(alphabet, k=rng.randint(1, 40)))
        if rng.random() < 0.5:
            caption = rng.choice(WORDS) + " " + caption
        spans = []
        for _ in range(rng.randint(1, 4)):
            begin = rng.randrange(len(caption))
            spans.append([begin, rng.randint(begin + 1, len(caption) + 2)])
        of_objects = [spans[:1], spans[1:]]
        encoding = words.encode(caption)
        found, _ = Spans(of_objects, []).tokens(encoding)
        assert found == positive_map(encoding, of_objects)
        if coco is not None:
            rows = coco.create_positive_map(encoding, of_objects)
            assert found == [row.nonzero().flatten().tolist() for row in rows]
        named += sum(map(len, found))
    assert named > 1500
