"""Draws the pictures of the example: a flat warehouse, annotated as COCO.

    python models/training/example/draw.py FOLDER [--train 40] [--val 40]

writes FOLDER/{train,val}/*.jpg, FOLDER/{train,val}.json, and FOLDER/empty/*.jpg, which show
nothing.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 320, 240
LARGER = 3
"""Drawn so much larger, and then made smaller, so that edges are smooth."""
Box = tuple[float, float, float, float]
Place = Callable[[float, float], tuple[float, float]]


def forklift(draw: ImageDraw.ImageDraw, at: Place, rng: np.random.Generator) -> None:
    body = tuple(int(v) for v in rng.integers([215, 130, 0], [255, 185, 40]))
    draw.rectangle([at(0.30, 0.45), at(0.95, 0.85)], fill=body)
    draw.rectangle([at(0.42, 0.02), at(0.88, 0.08)], fill=(40, 40, 45))
    for x in (0.44, 0.84):
        draw.rectangle([at(x, 0.05), at(x + 0.04, 0.5)], fill=(40, 40, 45))
    draw.rectangle([at(0.20, 0.0), at(0.28, 0.95)], fill=(70, 70, 80))
    draw.rectangle([at(0.0, 0.88), at(0.25, 0.95)], fill=(70, 70, 80))
    for x in (0.32, 0.74):
        draw.ellipse([at(x, 0.72), at(x + 0.2, 1.0)], fill=(20, 20, 22))
        draw.ellipse([at(x + 0.06, 0.81), at(x + 0.14, 0.91)], fill=(150, 150, 150))


def pallet(draw: ImageDraw.ImageDraw, at: Place, rng: np.random.Generator) -> None:
    wood = tuple(int(v) for v in rng.integers([150, 100, 50], [200, 140, 90]))
    dark = tuple(v // 2 for v in wood)
    draw.rectangle([at(0.0, 0.0), at(1.0, 1.0)], fill=dark)
    for i in range(5):
        draw.rectangle([at(0.0, i * 0.21), at(1.0, i * 0.21 + 0.14)], fill=wood)
    for x in (0.0, 0.46, 0.92):
        draw.rectangle([at(x, 0.0), at(x + 0.08, 1.0)], outline=dark, width=LARGER)


def barrel(draw: ImageDraw.ImageDraw, at: Place, rng: np.random.Generator) -> None:
    paint = tuple(int(v) for v in rng.integers([10, 60, 130], [60, 110, 200]))
    draw.rectangle([at(0.0, 0.1), at(1.0, 0.9)], fill=paint)
    draw.ellipse([at(0.0, 0.8), at(1.0, 1.0)], fill=paint)
    draw.ellipse([at(0.0, 0.0), at(1.0, 0.2)], fill=tuple(v + 50 for v in paint))
    for y in (0.33, 0.63):
        draw.rectangle([at(0.0, y), at(1.0, y + 0.05)], fill=tuple(v // 2 for v in paint))


def ladder(draw: ImageDraw.ImageDraw, at: Place, rng: np.random.Generator) -> None:
    metal = (int(rng.integers(150, 215)),) * 3
    for x in (0.0, 0.82):
        draw.rectangle([at(x, 0.0), at(x + 0.18, 1.0)], fill=metal)
    for i in range(6):
        draw.rectangle([at(0.0, 0.06 + i * 0.16), at(1.0, 0.11 + i * 0.16)], fill=metal)


THINGS = {
    "forklift": (forklift, (70, 110), 0.85),
    "pallet": (pallet, (60, 100), 0.45),
    "barrel": (barrel, (40, 62), 1.3),
    "ladder": (ladder, (36, 52), 2.4),
}
"""Of each category how to draw it, its width in pixels, and its height as a share of that."""


def floor(rng: np.random.Generator) -> Image.Image:
    """A concrete floor with joints, and a wall."""
    size = WIDTH * LARGER, HEIGHT * LARGER
    grey = rng.integers(95, 150)
    noise = rng.normal(0, 7, (HEIGHT, WIDTH, 1)) + rng.integers(-6, 7, 3)
    picture = Image.fromarray((grey + noise).clip(0, 255).astype(np.uint8)).resize(size)
    draw = ImageDraw.Draw(picture)
    step = int(rng.integers(50, 90)) * LARGER
    for x in range(int(rng.integers(0, step)), size[0], step):
        draw.line([(x, 0), (x, size[1])], fill=(grey - 30,) * 3, width=2 * LARGER)
    wall = int(rng.integers(30, 60)) * LARGER
    draw.rectangle([0, 0, size[0], wall], fill=tuple(int(v) for v in rng.integers(150, 215, 3)))
    return picture


def overlap(a: Box, b: Box) -> bool:
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]


def scene(rng: np.random.Generator, most: int) -> tuple[Image.Image, list[tuple[str, Box]]]:
    """A picture of at most so many things, and the box of each, x y width height."""
    picture = floor(rng)
    draw = ImageDraw.Draw(picture)
    found: list[tuple[str, Box]] = []
    wanted = list(rng.choice(list(THINGS), int(rng.integers(1, most + 1)))) if most else []
    for name in map(str, wanted):
        paint, widths, ratio = THINGS[name]
        for _ in range(50):
            w = float(rng.uniform(*widths))
            h = w * ratio * float(rng.uniform(0.9, 1.1))
            x, y = float(rng.uniform(2, WIDTH - w - 2)), float(rng.uniform(20, HEIGHT - h - 2))
            box = (x, y, w, h)
            if any(overlap(box, other) for _, other in found):
                continue

            def at(u: float, v: float, box: Box = box) -> tuple[float, float]:
                return (box[0] + u * box[2]) * LARGER, (box[1] + v * box[3]) * LARGER

            paint(draw, at, rng)
            found.append((name, tuple(round(v, 1) for v in box)))
            break
    return picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS), found


def write(folder: Path, split: str, count: int, most: int, seed: int) -> None:
    """Pictures, and their annotations if they show something."""
    (folder / split).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    names = list(THINGS)
    for i in range(1, count + 1):
        picture, found = scene(rng, most)
        file = f"{i:03}.jpg"
        picture.save(folder / split / file, quality=90)
        images.append({"id": i, "file_name": file, "width": WIDTH, "height": HEIGHT})
        for name, box in found:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i,
                    "category_id": names.index(name) + 1,
                    "bbox": box,
                    "area": round(box[2] * box[3], 1),
                    "iscrowd": 0,
                }
            )
    if most:
        categories = [{"id": i, "name": name} for i, name in enumerate(names, start=1)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / f"{split}.json").write_text(json.dumps(content) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=40)
    parser.add_argument("--val", type=int, default=40)
    args = parser.parse_args()
    write(args.folder, "train", args.train, 4, seed=1)
    write(args.folder, "val", args.val, 4, seed=2)
    write(args.folder, "empty", 8, 0, seed=3)


if __name__ == "__main__":
    main()
