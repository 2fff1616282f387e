"""Camera faults as augmentation: exposure, gamma, colour cast, blur, noise, JPEG."""

import io

import numpy as np
from PIL import Image, ImageFilter


def degraded(
    picture: np.ndarray, rng: np.random.Generator, brightness: float, faults: float
) -> np.ndarray:
    """A picture [H, W, 3] of bytes as a stage of training takes it, see `StageConfig`."""
    return lightened(camera_faults(picture, rng, faults), rng, brightness)


def camera_faults(picture: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """A picture [H, W, 3] of bytes as a worse camera gives it, as bytes.

    Of strength 1: exposure by up to a factor of 2.3, gamma by 1.3, colour balance by 10 %, blur of
    up to 1.3 pixels (every third picture), noise of up to 8 levels, JPEG of quality 40 to 95
    (every third). A strength of 0 changes nothing.
    """
    if strength <= 0:
        return picture

    def factor(most: float, size: int | None = None) -> np.ndarray | float:
        return most ** (strength * rng.uniform(-1, 1, size))

    x = picture.astype(np.float32) / 255
    x = x ** factor(1.3) * factor(2.3) * np.asarray(factor(1.1, 3), np.float32)
    x += rng.normal(0, 1, x.shape).astype(np.float32) * (strength * rng.uniform(0, 8) / 255)
    result = (x.clip(0, 1) * 255).round().astype(np.uint8)
    if rng.random() < strength / 3:
        radius = rng.uniform(0.3, 1.3)
        result = np.asarray(Image.fromarray(result).filter(ImageFilter.GaussianBlur(radius)))
    if rng.random() < strength / 3:
        file = io.BytesIO()
        Image.fromarray(result).save(file, "JPEG", quality=int(rng.integers(40, 96)))
        result = np.asarray(Image.open(file))
    return result


def lightened(picture: np.ndarray, rng: np.random.Generator, most: float) -> np.ndarray:
    """A picture [H, W, 3] of bytes with its contrast and its light changed by at most that share
    each, as bytes."""
    if most <= 0:
        return picture
    contrast, light = rng.uniform(1 - most, 1 + most, 2)
    mean = picture.mean()
    changed = ((picture.astype(np.float32) - mean) * contrast + mean) * light
    return changed.clip(0, 255).round().astype(np.uint8)
