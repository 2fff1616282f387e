"""Sine position encoding of an image's token grid."""

import math

import torch
from torch import Tensor

TEMPERATURE = 10000.0


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
    eps = 1e-6
    y = torch.arange(1, height + 1, dtype=torch.float32) / (height + eps)
    x = torch.arange(1, width + 1, dtype=torch.float32) / (width + eps)
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return encode_points(grid_y, grid_x, d_model).reshape(1, height * width, d_model)
