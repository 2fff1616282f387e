"""Writes source.png and Pillow's bilinear resizes of it: python make.py"""

from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent
SIZES = [(133, 84), (48, 30), (200, 20), (97, 30), (13, 9)]

rng = np.random.default_rng(5)
y, x = np.mgrid[0:61, 0:97]
waves = np.stack([x * 2.6, y * 4.1, (x * y) % 256], axis=-1)
noise = rng.integers(-60, 60, waves.shape)
source = Image.fromarray(np.clip(waves + noise, 0, 255).astype(np.uint8))
source.save(HERE / "source.png")
for width, height in SIZES:
    resized = source.resize((width, height), Image.Resampling.BILINEAR)
    resized.save(HERE / f"{width}x{height}.png")
