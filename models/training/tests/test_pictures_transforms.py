"""The augmentation, against the official one."""

import importlib.util
import json
import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mdetr_training.config import InputConfig
from mdetr_training.pictures import masks, transforms
from mdetr_training.pictures.transforms import CLEVR, GROUNDING, Sizes, Truth

HERE = Path(__file__).parent
# A folder with the official code, to compare with.
OFFICIAL = os.environ.get("MDETR_OFFICIAL_CODE")
PRESETS = {"grounding": GROUNDING, "clevr": CLEVR}


def reference_module():
    """The script that the references are from."""
    path = HERE / "official" / "transforms_reference.py"
    spec = importlib.util.spec_from_file_location("transforms_reference", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = reference_module()
CASES = json.loads((HERE / "data" / reference.FILE).read_text())


def ours(case: dict) -> dict:
    """What our code makes of a case, as `reference.outputs`."""
    picture = reference.picture(tuple(case["size"]), case["seed"])
    boxes, keep = transforms.pixels(np.array(case["boxes"]).reshape(-1, 4), picture.size)
    areas = np.array([w * h for _, _, w, h in case["boxes"]], np.float32)[keep]
    truth = Truth(boxes, areas)
    sizes = PRESETS[case["preset"]]
    if case["part"] == "val":
        picture, truth = transforms.for_evaluation(picture, truth, sizes)
    else:
        sizes = Sizes(**{**sizes.__dict__, "flip": case["flip"]})
        picture, truth = transforms.augmented(
            picture,
            truth,
            case["caption"],
            sizes,
            random.Random(case["seed"]),
            torch.Generator().manual_seed(case["seed"]),
        )
    image = torch.empty(3, picture.height, picture.width)
    transforms.normalise(torch.from_numpy(np.array(picture)), InputConfig(), image)
    return {
        "size": list(picture.size),
        "boxes": transforms.relative(truth.boxes, picture.size).tolist(),
        "areas": truth.areas.tolist(),
        "caption": case["caption"],
        "pixels": reference.sampled(image),
    }


def compare(case: dict, expected: dict) -> None:
    found = ours(case)
    pixels, wanted = found.pop("pixels"), expected["pixels"]
    assert found == {k: v for k, v in expected.items() if k != "pixels"}
    assert pixels == pytest.approx(wanted, abs=2e-4)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['preset']}-{c['part']}-{c['seed']}")
def test_as_the_official_transforms(case: dict):
    compare(case, case["output"])


@pytest.mark.skipif(not OFFICIAL, reason="needs the official code in MDETR_OFFICIAL_CODE")
def test_as_the_official_transforms_run_now():
    before = set(sys.modules), list(sys.path)
    try:
        modules = reference.official(Path(OFFICIAL))
        for seed in range(1000, 1060):
            case = dict(CASES[seed % len(CASES)], seed=seed)
            case["boxes"] = reference.boxes(tuple(case["size"]), seed % 4, seed)
            compare(case, reference.outputs(case, modules)["output"])
    finally:
        for name in set(sys.modules) - before[0]:
            if name.split(".")[0] in ("datasets", "util"):
                del sys.modules[name]
        sys.path[:] = before[1]


def test_the_references_have_every_kind_of_case():
    kinds = {(c["preset"], c["part"], c["flip"]) for c in CASES}
    assert len(kinds) == 6
    assert len({tuple(c["size"]) for c in CASES}) > 4
    assert any(not c["boxes"] for c in CASES)


def truth(boxes: list[list[float]], with_masks: tuple[int, int] | None = None) -> Truth:
    """Corners as a truth, with the boxes filled as masks of that width and height."""
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    drawn = None
    if with_masks:
        width, height = with_masks
        drawn = torch.zeros(len(boxes), height, width, dtype=torch.bool)
        for mask, (x0, y0, x1, y1) in zip(drawn, boxes, strict=True):
            mask[y0:y1, x0:x1] = True
    return Truth(corners, (corners[:, 2:] - corners[:, :2]).prod(1), drawn)


def test_without_a_crop_that_keeps_all_boxes_the_picture_stays_whole():
    size = 640, 480
    corners = truth([[0, 0, 2, 2], [638, 478, 640, 480]])
    picture, found = transforms.size_crop(
        Image.new("RGB", size), corners, (384, 420), random.Random(1), torch.Generator()
    )
    assert picture.size == size
    assert (found.boxes == corners.boxes).all()


@pytest.mark.parametrize(
    ("caption", "mirrored"),
    [
        ("a dog", True),
        ("the bright upright piano", True),
        ("the leftmost dog", False),
        ("Right-hand side", False),
        ("the dog on the right.", False),
    ],
)
def test_pictures_are_mirrored_where_no_word_says_a_side(caption: str, mirrored: bool):
    picture = Image.new("RGB", (640, 480))
    sizes = Sizes(flip=True)
    on_the_right = set()
    for seed in range(16):
        rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
        after, found = transforms.augmented(
            picture, truth([[0, 0, 64, 480], [280, 0, 360, 480]]), caption, sizes, rng, generator
        )
        side, middle = found.boxes[:, 0]
        on_the_right.add(bool(side > middle))
        assert after.width > 300
    assert on_the_right == ({False, True} if mirrored else {False})


def test_masks_go_with_their_boxes():
    size = 640, 480
    boxes = [[100, 100, 300, 200], [250, 300, 500, 470]]
    seen = 0
    for seed in range(12):
        sizes = Sizes(flip=True)
        picture, found = transforms.augmented(
            Image.new("RGB", size),
            truth(boxes, with_masks=size),
            "two dogs",
            sizes,
            random.Random(seed),
            torch.Generator().manual_seed(seed),
        )
        assert found.masks.shape == (2, picture.height, picture.width)
        for mask, (x0, y0, x1, y1) in zip(found.masks, found.boxes.tolist(), strict=True):
            y, x = mask.nonzero().T
            around = [x.min(), y.min(), x.max() + 1, y.max() + 1]
            assert [int(v) for v in around] == pytest.approx([x0, y0, x1, y1], abs=3)
            seen += 1
    assert seen == 24


def test_sizes_for_another_network():
    assert transforms.scaled(GROUNDING, InputConfig(), 32) == GROUNDING
    small = transforms.scaled(GROUNDING, InputConfig(short_side=200, max_long_side=400), 16)
    assert small.scales == tuple(range(120, 201, 8))
    assert (small.longest, small.before_crop, small.crop) == (333, (100, 125, 150), (96, 333))
    assert (small.evaluation_longest, small.multiple, small.unchanged) == (400, 16, 0.5)
    own = transforms.scaled(CLEVR, InputConfig(resize="none"), 32)
    assert own == CLEVR
    picture = Image.new("RGB", (480, 320))
    assert transforms.for_evaluation(picture, truth([]), own)[0] is picture


def test_every_crop_of_a_scaled_augmentation_is_possible():
    for short_side in (32, 64, 101, 256, 800):
        sizes = transforms.scaled(
            GROUNDING, InputConfig(short_side=short_side, max_long_side=2 * short_side), 16
        )
        whole = transforms.for_evaluation(Image.new("RGB", (90, 70)), truth([]), sizes)[0].size
        found = set()
        for seed in range(20):
            picture, _ = transforms.augmented(
                Image.new("RGB", (90, 70)),
                truth([[10, 10, 20, 20]]),
                "",
                sizes,
                random.Random(seed),
                torch.Generator(),
            )
            ends_with_a_token = not any(side % sizes.multiple for side in picture.size)
            assert picture.size == whole or ends_with_a_token
            assert max(picture.size) <= sizes.longest + sizes.multiple
            found.add(picture.size)
        assert whole in found and len(found) > 1


def test_segmentations_of_every_form():
    square = [[2, 2, 6, 2, 6, 6, 2, 6]]
    runs = {"size": [8, 10], "counts": [18, 4, 4, 4, 4, 4, 4, 4, 34]}
    found = masks.decoded([masks.checked(square), masks.checked(runs)], (10, 8), "here")
    assert found.shape == (2, 8, 10)
    assert (found[0] == found[1]).all()
    assert found.sum((1, 2)).tolist() == [16, 16]
    packed = masks.coco_mask.encode(np.asfortranarray(found[0].numpy().astype(np.uint8)))
    packed = {"size": packed["size"], "counts": packed["counts"].decode()}
    assert (masks.decoded([masks.checked(packed)], (10, 8), "here")[0] == found[0]).all()
    line = masks.checked([[1, 2, 3, 4]])
    assert line == []
    assert masks.checked([[1, 2, 3, 4], *square]) == square
    assert not masks.decoded([line], (10, 8), "here").any()
    with pytest.raises(ValueError, match="here: segmentation: expected the picture's size, 9 x 8"):
        masks.decoded([runs], (9, 8), "here")


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        [[]],
        [[1, 2, 3, 4, 5, 6, 7]],
        [[1, 2, 3, 4, 5, float("nan")]],
        [[1, 2, 3, 4, 5, 1e9]],
        {"counts": [3]},
        {"size": [2, 2], "counts": [1]},
        {"size": [2, 2], "counts": [5, -1]},
    ],
)
def test_broken_segmentations_are_refused(broken):
    with pytest.raises(ValueError, match="segmentation: expected"):
        masks.checked(broken)
