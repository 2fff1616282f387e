"""Reference outputs of the official transforms, for the augmentation's tests.

Run by hand, in models/training, where the official code is:

    python tests/official/transforms_reference.py OFFICIAL tests/data

writes `official_transforms.json`: per case the seed of the picture and the random numbers, the
boxes and the caption, and what the official training or evaluation transforms make of them.
"""

import argparse
import importlib
import json
import random
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from PIL import Image

SHAPES = [(640, 480), (480, 640), (500, 333), (1024, 576), (333, 500), (800, 800), (1500, 400)]
CAPTIONS = ["a red car and two people", "the white house", "three dogs"]
FILE = "official_transforms.json"


def official(folder: Path) -> tuple[ModuleType, ModuleType, ModuleType]:
    """The official modules transforms, coco and clevr. Their package imports every data set's
    dependencies, so it is left out."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    package = ModuleType("datasets")
    package.__path__ = [str(folder / "datasets")]
    sys.modules["datasets"] = package
    modules = [
        importlib.import_module(f"datasets.{name}") for name in ("transforms", "coco", "clevr")
    ]
    return tuple(modules)


def picture(size: tuple[int, int], seed: int) -> Image.Image:
    """Smooth noise of that width and height."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (size[1] // 16, size[0] // 16, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def boxes(size: tuple[int, int], count: int, seed: int) -> list[list[float]]:
    """Random boxes, corner and size; some reach outside."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(-0.05, 0.9, (count, 2)) * size
    extent = rng.uniform(0.01, 0.4, (count, 2)) * size
    return np.concatenate([corner, extent], axis=1).round(2).tolist()


def cases() -> list[dict]:
    """What is asked of both codes."""
    found = []
    for i in range(36):
        preset = ("grounding", "clevr")[i % 2]
        size = SHAPES[i % len(SHAPES)] if preset == "grounding" else (480, 320)
        part = "val" if i % 9 == 8 else "train"
        found.append(
            {
                "preset": preset,
                "part": part,
                "flip": i % 3 == 0 and part == "train",
                "size": size,
                "seed": 100 + i,
                "boxes": boxes(size, i % 5, i),
                "caption": CAPTIONS[i % 3],
            }
        )
    return found


def outputs(case: dict, modules: tuple[ModuleType, ModuleType, ModuleType]) -> dict:
    """What the official code makes of a case."""
    _, coco, clevr = modules
    make = coco.make_coco_transforms if case["preset"] == "grounding" else None
    make = make or clevr.make_clevr_transforms
    # Crops keep boxes only where the code is cautious, which turns mirroring off as well.
    transform = make(case["part"], True)
    if case["flip"]:
        mirror = modules[0].RandomHorizontalFlip()
        transform.transforms.insert(0, mirror)
    objects = [
        {"bbox": box, "category_id": 1, "area": box[2] * box[3], "iscrowd": 0}
        for box in case["boxes"]
    ]
    image = picture(tuple(case["size"]), case["seed"])
    target = {"image_id": 1, "annotations": objects, "caption": case["caption"]}
    image, target = coco.ConvertCocoPolysToMask()(image, target)
    random.seed(case["seed"])
    torch.manual_seed(case["seed"])
    image, target = transform(image, target)
    return {
        "output": {
            "size": [image.shape[2], image.shape[1]],
            "boxes": target["boxes"].tolist(),
            "areas": target["area"].float().tolist(),
            "caption": target["caption"],
            "pixels": [round(v, 4) for v in sampled(image)],
        }
    }


def sampled(image: torch.Tensor) -> list[float]:
    """A few values of a normalised picture [3, H, W], and their mean."""
    _, height, width = image.shape
    places = [(0, 0, 0), (1, height // 2, width // 3), (2, height - 1, width - 1)]
    return [float(image.mean()), *(float(image[p]) for p in places)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("official", type=Path, help="checkout of ashkamath/mdetr")
    parser.add_argument("out", type=Path, help="folder of the file")
    args = parser.parse_args()
    modules = official(args.official)
    lines = [json.dumps(case | outputs(case, modules)) for case in cases()]
    (args.out / FILE).write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{args.out / FILE}: {len(lines)} cases")


if __name__ == "__main__":
    main()
