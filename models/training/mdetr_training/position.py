"""Sine position encoding of an image's token grid."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 10000.0
EPSILON = 1e-6


def encode_axis(z: Tensor, channels: int) -> Tensor:
    """Angles [...] in (0, 2 pi] -> [..., channels], sine and cosine interleaved."""
    i = torch.arange(channels, dtype=torch.float32, device=z.device)
    divisor = TEMPERATURE ** (2 * torch.div(i, 2, rounding_mode="floor") / channels)
    angle = z[..., None] / divisor
    return torch.stack([angle[..., 0::2].sin(), angle[..., 1::2].cos()], dim=-1).flatten(-2)


def encode_points(y: Tensor, x: Tensor, d_model: int) -> Tensor:
    """Relative coordinates [...] in (0, 1] -> [..., d_model], the y half first."""
    half = d_model // 2
    return torch.cat(
        [encode_axis(y * 2 * math.pi, half), encode_axis(x * 2 * math.pi, half)], dim=-1
    )


def sine_position(height: int, width: int, d_model: int) -> Tensor:
    """Encoding of an unpadded grid, row-major: [1, height * width, d_model]."""
    y = torch.arange(1, height + 1, dtype=torch.float32) / (height + EPSILON)
    x = torch.arange(1, width + 1, dtype=torch.float32) / (width + EPSILON)
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return encode_points(grid_y, grid_x, d_model).reshape(1, height * width, d_model)


def padded_position(padding: Tensor, d_model: int) -> Tensor:
    """Encoding of grids [I, height, width] whose padding is true, each relative to the picture in
    it: [I, height * width, d_model], row-major. What stands on padding means nothing."""
    y, x = ((~padding).cumsum(dim, dtype=torch.float32) for dim in (1, 2))
    y = y / (y[:, -1:] + EPSILON)
    x = x / (x[:, :, -1:] + EPSILON)
    return encode_points(y, x, d_model).flatten(1, 2)


def token_padding(padding: Tensor, rows: int, columns: int) -> Tensor:
    """Padding of pixels [I, H, W], bool, at the size of a feature map: [I, rows, columns], each
    from the pixel at floor(i H / rows) and likewise across."""
    return F.interpolate(padding[:, None].float(), size=(rows, columns))[:, 0].bool()
