"""What the network is trained on at once: pictures, captions and the truth about both."""

from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .captions import Caption
from .decoded import Decoded
from .matcher import Targets
from .remembered import Remembered


@dataclass
class Scene:
    """What a renderer knows of I images and of the B captions about them; O objects at most."""

    objects: Tensor
    """[B, O], index of each scene object among the targets, or -1."""
    cells: Tensor
    """[I, N], object under each token: 0 for none, i + 1 for object i."""
    boxes: Tensor
    """[I, O, 4], relative cx cy w h of the scene's objects."""
    attributes: Tensor
    """[I, O, 4], in the order of `data.ATTRIBUTES`, -1 where there is no object."""
    maps: Tensor | None
    """[I, H, W], object at each pixel: 0 for none, i + 1 for object i; none if no stage trains
    masks."""
    compared: Tensor
    """[B, 2], classes of the attribute head that the compared objects have, -1 elsewhere."""


@dataclass
class Batch:
    """I images with K captions each; B = I * K, captions of one image adjacent."""

    images: Tensor
    """[I, 3, H, W], normalised; zero where a picture is smaller than the batch's largest."""
    input_ids: Tensor
    """[B, L]."""
    attention_mask: Tensor
    """[B, L]."""
    targets: Targets
    captions: list[Caption]
    answers: dict[str, Tensor] = field(default_factory=dict)
    """Class by answer head, [B], -1 where the caption does not ask it."""
    padding: Tensor | None = None
    """[I, H, W] bool, true beside a picture; none if all pictures are as large as the batch."""
    scene: Scene | None = None
    """Of rendered pictures."""
    remembered: Remembered | None = None
    """Of clips, which rows are each row's past."""
    decoded: Decoded | None = None
    """What the network makes of it, where that was computed before and stays as it is; the pictures
    are then left out."""

    def to(self, device: torch.device | str) -> "Batch":
        """The same in a device's memory."""
        return moved(self, torch.device(device))


def moved(value: Any, device: torch.device) -> Any:
    """A tensor, or a dataclass or dictionary of some, in a device's memory."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {name: moved(v, device) for name, v in value.items()}
    if is_dataclass(value):
        return replace(
            value, **{f.name: moved(getattr(value, f.name), device) for f in fields(value)}
        )
    return value
