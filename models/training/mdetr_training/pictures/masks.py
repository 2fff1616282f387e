"""Segmentations: polygons and run lengths, as COCO writes them."""

from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco_mask
from torch import Tensor

MOST_SIDE = 1e5
"""Pixels that a polygon's points may be from a picture's corner."""


def checked(segmentation: Any) -> Any:
    """A segmentation that `decoded` takes: polygons of x, y, x, y, ..., without those of fewer than
    three points, or a table with `size` and `counts`. Otherwise raises ValueError."""
    if isinstance(segmentation, dict):
        size, counts = segmentation.get("size"), segmentation.get("counts")
        sized = isinstance(size, list) and len(size) == 2 and all(type(n) is int for n in size)
        if not sized or not isinstance(counts, str | list):
            raise ValueError("segmentation: expected run lengths with size and counts")
        if isinstance(counts, list):
            if not all(type(n) is int and n >= 0 for n in counts):
                raise ValueError("segmentation: expected counts that are whole numbers")
            if sum(counts) != size[0] * size[1]:
                raise ValueError(
                    f"segmentation: expected counts for {size[0] * size[1]} pixels, "
                    f"found {sum(counts)}"
                )
        return {"size": size, "counts": counts}
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("segmentation: expected polygons or run lengths")
    for polygon in segmentation:
        points = len(polygon) if isinstance(polygon, list) else 0
        if not points or points % 2 or not _inside(np.array(polygon, float)):
            raise ValueError("segmentation: expected polygons of x, y, x, y, ...")
    return [polygon for polygon in segmentation if len(polygon) >= 6]


def _inside(polygon: np.ndarray) -> bool:
    """Whether all coordinates may belong to a picture: drawing takes memory by their size."""
    return bool((np.abs(polygon) < MOST_SIDE).all())


def decoded(segmentations: list[Any], size: tuple[int, int], place: str) -> Tensor:
    """Masks [M, H, W] bool of a picture of that width and height."""
    width, height = size
    masks = torch.zeros(len(segmentations), height, width, dtype=torch.bool)
    for mask, segmentation in zip(masks, segmentations, strict=True):
        if isinstance(segmentation, dict):
            if segmentation["size"] != [height, width]:
                raise ValueError(
                    f"{place}: segmentation: expected the picture's size, {width} x {height}, "
                    f"found {segmentation['size'][1]} x {segmentation['size'][0]}"
                )
            if isinstance(segmentation["counts"], list):
                runs = [coco_mask.frPyObjects(segmentation, height, width)]
            else:
                runs = [segmentation]
        else:
            if not all(_inside(np.array(polygon)) for polygon in segmentation):
                raise ValueError(f"{place}: segmentation: expected a polygon in the picture")
            runs = coco_mask.frPyObjects(segmentation, height, width) if segmentation else []
        try:
            pixels = coco_mask.decode(runs) if runs else np.zeros((height, width, 1), bool)
        except Exception as error:
            raise ValueError(f"{place}: segmentation: broken run lengths: {error}") from error
        mask.copy_(torch.from_numpy(pixels).any(2))
    return masks
