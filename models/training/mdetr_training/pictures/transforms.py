"""MDETR's training augmentation and evaluation preprocessing.

The random numbers come from a `random.Random` and a `torch.Generator`, drawn in the order in which
the official code draws from `random` and from torch's global generator: of equal seeds come equal
pictures, boxes and areas. Two things differ, so that captions stay true. If none of 100 crops
keeps every box the picture stays uncropped, where the official code takes the last crop. And a
picture is mirrored only if no word of its caption says left or right, where the official code
exchanges these letters in the caption.
"""

import random
import re
import sys
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .. import backbone
from ..config import Config, InputConfig
from ..data import target_size

CROPS = 100
"""Crops that are tried before a picture stays uncropped."""
SIDED = re.compile(r"\b(left|right)", re.IGNORECASE)
"""A word whose truth a mirror changes."""


@dataclass(frozen=True)
class Sizes:
    """Sizes of the augmentation in pixels; the defaults are those for grounding."""

    short_side: int = 800
    """Of the pictures in evaluation, which the other sizes belong to."""
    scales: tuple[int, ...] = tuple(range(480, 801, 32))
    """Short sides that a picture is resized to, at random."""
    longest: int = 1333
    """No side gets longer."""
    before_crop: tuple[int, ...] = (400, 500, 600)
    """Short sides that a picture is resized to before it is cropped."""
    crop: tuple[int, int] = (384, 1333)
    """Shortest and longest side of a crop."""
    evaluation_longest: int | None = 1333
    """As `longest`, in evaluation; None: the picture's own size."""
    multiple: int = 1
    """Sides of training pictures are multiples of it, at the cost of their proportions."""
    unchanged: float = 0.0
    """Share of training pictures that are as evaluation sees them."""
    flip: bool = False
    """Mirror half of the pictures whose captions allow it. The official recipes do not."""


GROUNDING = Sizes()
CLEVR = Sizes(
    short_side=320,
    scales=(256, 288, 320, 352, 384),
    longest=512,
    before_crop=(320, 352, 384),
    crop=(256, 512),
    evaluation_longest=None,
)


def scaled(sizes: Sizes, c: InputConfig, stride: int) -> Sizes:
    """The same augmentation for a network whose pictures have another short side.

    The position encoding counts whole tokens, of `stride` pixels, also where the last of them is
    not full. On a grid of few tokens that moves boxes by as much as objects are wide, so training
    pictures of smaller networks end with a token, or are as evaluation sees them.
    """
    if c.resize == "none":
        return replace(sizes, evaluation_longest=None)

    def to(size: int) -> int:
        return max(1, round(size * c.short_side / sizes.short_side))

    smaller = c.short_side < sizes.short_side
    return replace(
        sizes,
        short_side=c.short_side,
        scales=tuple(map(to, sizes.scales)),
        longest=to(sizes.longest),
        before_crop=tuple(map(to, sizes.before_crop)),
        crop=(to(sizes.crop[0]), to(sizes.crop[1])),
        evaluation_longest=c.max_long_side,
        multiple=stride if smaller else 1,
        unchanged=0.5 if smaller else 0.0,
    )


def for_network(sizes: Sizes, c: Config) -> Sizes:
    """`scaled` to the network and the input of a configuration."""
    return scaled(sizes, c.input, backbone.stride(c.network.backbone))


@dataclass
class Truth:
    """What a picture shows, of M objects."""

    boxes: np.ndarray
    """[M, 4] float32, two corners in pixels."""
    areas: np.ndarray
    """[M] float32, pixels."""
    masks: Tensor | None = None
    """[M, H, W] bool."""


def pixels(boxes: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Corners [K, 4] of the boxes [M, 4] (corner and size) inside a picture of that width and
    height, and which of them [M] have an area there."""
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    corners[:, 0::2] = corners[:, 0::2].clip(0, size[0])
    corners[:, 1::2] = corners[:, 1::2].clip(0, size[1])
    keep = (corners[:, 3] > corners[:, 1]) & (corners[:, 2] > corners[:, 0])
    return corners[keep], keep


def relative(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Corners in pixels [M, 4] as relative cx cy w h."""
    low, high = boxes[:, :2], boxes[:, 2:]
    boxes = np.concatenate([(low + high) / np.float32(2), high - low], axis=1)
    return boxes / np.array([*size, *size], np.float32)


def normalise(pixels: Tensor, c: InputConfig, out: Tensor) -> None:
    """Put a picture's bytes [H, W, 3] into `out` [3, H, W], as the network takes them."""
    mean, std = torch.tensor(c.mean)[:, None, None], torch.tensor(c.std)[:, None, None]
    out.copy_(pixels.permute(2, 0, 1)).div_(255).sub_(mean).div_(std)


def resize(
    picture: Image.Image, truth: Truth, short_side: int, longest: int | None, multiple: int = 1
) -> tuple[Image.Image, Truth]:
    """To a short side, unless the long one got longer than `longest`; then both to the nearest
    multiple."""
    rule = InputConfig(short_side=short_side, max_long_side=longest or sys.maxsize)
    size = target_size(*picture.size, rule)
    if multiple > 1:
        size = tuple(max(1, round(side / multiple)) * multiple for side in size)
    resized = picture.resize(size, Image.Resampling.BILINEAR)
    x, y = (new / old for new, old in zip(size, picture.size, strict=True))
    masks = truth.masks
    if masks is not None and len(masks):
        masks = F.interpolate(masks[:, None].float(), size[::-1], mode="nearest")[:, 0] > 0.5
    elif masks is not None:
        masks = masks.new_zeros(0, size[1], size[0])
    boxes = truth.boxes * np.array([x, y, x, y], np.float32)
    return resized, Truth(boxes, truth.areas * np.float32(x * y), masks)


def inside(boxes: np.ndarray, region: tuple[int, int, int, int]) -> np.ndarray:
    """Corners [M, 4] as a region (left, top, width, height) of the picture has them."""
    left, top, width, height = region
    moved = boxes - np.array([left, top, left, top], np.float32)
    return np.minimum(moved, np.array([width, height] * 2, np.float32)).clip(min=0)


def crop(
    picture: Image.Image, truth: Truth, region: tuple[int, int, int, int]
) -> tuple[Image.Image, Truth]:
    """The region (left, top, width, height), with what is seen of each object in it."""
    left, top, width, height = region
    boxes = inside(truth.boxes, region)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    masks = truth.masks
    if masks is not None:
        masks = masks[:, top : top + height, left : left + width]
    return picture.crop((left, top, left + width, top + height)), Truth(boxes, areas, masks)


def size_crop(
    picture: Image.Image,
    truth: Truth,
    sides: tuple[int, int],
    rng: random.Random,
    generator: torch.Generator,
) -> tuple[Image.Image, Truth]:
    """A random region with sides between these that keeps something of every object."""
    for _ in range(CROPS):
        width = rng.randint(sides[0], min(picture.width, sides[1]))
        height = rng.randint(sides[0], min(picture.height, sides[1]))
        top = left = 0
        if (width, height) != picture.size:
            top = int(torch.randint(picture.height - height + 1, (1,), generator=generator))
            left = int(torch.randint(picture.width - width + 1, (1,), generator=generator))
        region = (left, top, width, height)
        boxes = inside(truth.boxes, region)
        if (boxes[:, 2:] > boxes[:, :2]).all():
            return crop(picture, truth, region)
    return picture, truth


def flip(picture: Image.Image, truth: Truth) -> tuple[Image.Image, Truth]:
    """Left and right exchanged."""
    width = np.float32(picture.width)
    boxes = truth.boxes[:, [2, 1, 0, 3]] * np.array([-1, 1, -1, 1], np.float32)
    boxes += np.array([width, 0, width, 0], np.float32)
    masks = None if truth.masks is None else truth.masks.flip(-1)
    mirrored = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return mirrored, Truth(boxes, truth.areas, masks)


def augmented(
    picture: Image.Image,
    truth: Truth,
    caption: str,
    sizes: Sizes,
    rng: random.Random,
    generator: torch.Generator,
) -> tuple[Image.Image, Truth]:
    """The picture as training sees it once."""
    if sizes.flip and rng.random() < 0.5 and not SIDED.search(caption):
        picture, truth = flip(picture, truth)
    if sizes.unchanged and rng.random() < sizes.unchanged:
        return for_evaluation(picture, truth, sizes)
    if rng.random() >= 0.5:
        picture, truth = resize(picture, truth, rng.choice(sizes.before_crop), None)
        picture, truth = size_crop(picture, truth, sizes.crop, rng, generator)
    return resize(picture, truth, rng.choice(sizes.scales), sizes.longest, sizes.multiple)


def for_evaluation(picture: Image.Image, truth: Truth, sizes: Sizes) -> tuple[Image.Image, Truth]:
    """The picture as evaluation and use see it."""
    if sizes.evaluation_longest is None:
        return picture, truth
    return resize(picture, truth, sizes.short_side, sizes.evaluation_longest)
