"""Which instants of a batch are the past of which others."""

from dataclasses import dataclass

from torch import Tensor

OLDEST = 6.0
"""Seconds after which an instant is not remembered any more."""
INTERVAL = 0.4
"""Seconds between instants that are remembered, at least."""


@dataclass
class Remembered:
    """For each of B captions up to K earlier instants, which are rows of the same batch."""

    rows: Tensor
    """[B, K], any row where there is none."""
    age: Tensor
    """[B, K], seconds, 0 where there is none."""
