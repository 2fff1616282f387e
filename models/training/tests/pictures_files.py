"""Small data sets in every format, written by the tests."""

import json
from pathlib import Path

import numpy as np
from PIL import Image


def write_picture(path: Path, size: tuple[int, int] = (64, 48), seed: int = 0) -> None:
    """A picture of a few blocks of colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(small).resize(size, Image.Resampling.NEAREST).save(path)


def truncate(path: Path) -> None:
    """Cut a file in half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write_json(path: Path, value: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def image(number: int, caption: str | None = None, **more) -> dict:
    """An image's entry, of a picture named by its number."""
    entry = {"id": number, "file_name": f"{number}.png", "width": 64, "height": 48}
    return entry | ({} if caption is None else {"caption": caption}) | more


def annotation(image_id: int, box: list[float], **more) -> dict:
    annotation.count += 1
    return {
        "id": annotation.count,
        "image_id": image_id,
        "bbox": box,
        "area": box[2] * box[3],
        "category_id": 1,
        "iscrowd": 0,
    } | more


annotation.count = 0


def span(caption: str, *words: str) -> list[list[int]]:
    return [[caption.index(w), caption.index(w) + len(w)] for w in words]


CAPTIONS = ["a red car", "two dogs left of a small cat", "all objects", "a cat", "the dog, again"]


def grounding(folder: Path, count: int = 6, **more) -> dict:
    """Captions with two objects each, as MDETR's files have them; pictures beside them."""
    images, objects = [], []
    for i in range(count):
        caption = CAPTIONS[i % len(CAPTIONS)]
        words = caption.split()
        images.append(image(i, caption, dataset_name="own", original_img_id=i + 70, **more))
        first, last = span(caption, words[0]), span(caption, words[-1])
        objects.append(annotation(i, [4, 4, 20, 30], tokens_positive=first))
        objects.append(annotation(i, [30 + i, 8, 25, 12], tokens_positive=last))
        write_picture(folder / f"{i}.png", (64 + 8 * (i % 2), 48), seed=i)
        images[-1]["width"] = 64 + 8 * (i % 2)
    return {"images": images, "annotations": objects, "categories": [{"id": 1, "name": "x"}]}


NAMES = ["forklift", "wooden_pallet", "bow_(weapon)", "person"]


def detection(folder: Path, count: int = 4) -> dict:
    """Objects of four categories: forklifts and pallets, never a bow, people as a crowd."""
    objects = []
    for i in range(count):
        write_picture(folder / "images" / f"{i}.png", seed=10 + i)
        objects.append(annotation(i, [4, 4, 20, 30], category_id=5))
        objects.append(annotation(i, [24, 14, 20, 30], category_id=5))
        objects.append(annotation(i, [30, 8, 25, 12], category_id=6))
    objects.append(annotation(0, [0, 0, 64, 48], category_id=8, iscrowd=1))
    return {
        "images": [image(i) for i in range(count)],
        "annotations": objects,
        "categories": [{"id": 5 + i, "name": name} for i, name in enumerate(NAMES)],
    }


def yolo(folder: Path, names: str = "[forklift, pallet]", split: str = "images/train") -> Path:
    """Three pictures: with boxes, with polygons, and without a label file."""
    for i in range(3):
        write_picture(folder / "images" / "train" / f"{i}.png", seed=20 + i)
    labels = folder / "labels" / "train"
    labels.mkdir(parents=True, exist_ok=True)
    (labels / "0.txt").write_text("0 0.5 0.5 0.25 0.5\n1 0.25 0.25 0.5 0.5\n")
    (labels / "1.txt").write_text("1 0.25 0.25 0.75 0.25 0.75 0.5 0.25 0.5\n")
    path = folder / "data.yaml"
    path.write_text(f"train: {split}\nval: images/train\nnames: {names}\n")
    return path
