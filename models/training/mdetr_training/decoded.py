"""What the encoder and the decoder give, from which all outputs follow."""

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Decoded:
    """Of B captions; D decoder layers, Q object queries, A answer queries, L text and N image
    tokens."""

    layers: Tensor
    """[D, B, Q + A, d], the queries after each decoder layer."""
    text: Tensor
    """[B, L, d], the encoder's text tokens."""
    image: Tensor | None
    """[B, N, d], the encoder's image tokens; None where nothing is to be read of them."""
