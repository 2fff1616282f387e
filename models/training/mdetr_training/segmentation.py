"""DETR's mask head on MDETR: attention maps of object queries, refined to masks at stride 4."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from .config import NetworkConfig
from .network import MDETR, Outputs
from .remembered import Remembered

HEADS = 8
GROUPS = 8


class BboxAttention(nn.Module):
    """Where each object query looks: attention weights without values."""

    def __init__(self, d_model: int):
        super().__init__()
        self.q_linear = nn.Linear(d_model, d_model)
        self.k_linear = nn.Linear(d_model, d_model)
        self.scale = (d_model // HEADS) ** -0.5

    def forward(self, hidden: Tensor, memory: Tensor, padding: Tensor | None = None) -> Tensor:
        """Queries [B, K, d], image memory [B, N, d] -> [B, K, 8, N]. Each head of each query sums
        to one: DETR's own normalises over the heads together. Padding [B, N], bool, gets zero."""
        q = self.q_linear(hidden).unflatten(-1, (HEADS, -1)).transpose(1, 2)
        k = self.k_linear(memory).unflatten(-1, (HEADS, -1)).permute(0, 2, 3, 1)
        scores = (q * self.scale) @ k
        if padding is not None:
            scores = scores.masked_fill(padding[:, None, None], float("-inf"))
        return scores.softmax(-1).transpose(1, 2)


def enlarge(x: Tensor, to: Tensor) -> Tensor:
    """Nearest-neighbour upsampling to the size of `to`, which is twice that of x or one less."""
    return F.interpolate(x, scale_factor=2.0)[..., : to.shape[-2], : to.shape[-1]]


class MaskHead(nn.Module):
    """Convolutions from attention maps and image features to mask logits.

    `pyramid` are the channels of the backbone's maps, fine to coarse, the finest at stride 4;
    `width` the channels after the first convolution, 0 for the released ones'.
    """

    def __init__(self, d_model: int, pyramid: list[int], width: int = 0):
        super().__init__()
        if width % GROUPS:
            raise ValueError(f"mask_width: expected a multiple of {GROUPS}, found {width}")
        wide, half = (width, width) if width else (d_model + HEADS, d_model)
        self.levels = len(pyramid)
        widths = [wide, *(max(half >> i, GROUPS) for i in range(1, self.levels + 2))]
        inputs = [d_model + HEADS, *widths]
        for i, (a, b) in enumerate(zip(inputs, widths, strict=False), start=1):
            setattr(self, f"lay{i}", nn.Conv2d(a, b, 3, padding=1))
            setattr(self, f"gn{i}", nn.GroupNorm(GROUPS, b))
        self.out_lay = nn.Conv2d(widths[-1], 1, 3, padding=1)
        for i, channels in enumerate(reversed(pyramid), start=1):
            setattr(self, f"adapter{i}", nn.Conv2d(channels, widths[i], 1))

    def forward(
        self,
        tokens: Tensor,
        attention: Tensor,
        pyramid: Sequence[Tensor],
        image: Tensor | None = None,
    ) -> Tensor:
        """Projected tokens [I, d, h, w], attention [K, 8, h, w], maps [I, C, ...] coarse to fine
        and the image [K] of each query, needed only if there are several -> logits [K, H4, W4].

        The first convolution takes both inputs stacked; its image half is the same for every
        query of an image and computed once.
        """

        def each(x: Tensor) -> Tensor:
            return x if image is None else x[image]

        seen, looks = self.lay1.weight.split([tokens.shape[1], HEADS], dim=1)
        shared = each(F.conv2d(tokens, seen, self.lay1.bias, padding=1))
        x = F.relu(self.gn1(shared + F.conv2d(attention, looks, padding=1)))
        x = F.relu(self.gn2(self.lay2(x)))
        for i in range(self.levels):
            features = each(getattr(self, f"adapter{i + 1}")(pyramid[i]))
            x = getattr(self, f"lay{i + 3}")(features + enlarge(x, features))
            x = F.relu(getattr(self, f"gn{i + 3}")(x))
        return self.out_lay(x)[:, 0]


class DETRsegm(nn.Module):
    """MDETR with masks. Parameter names follow the released checkpoints."""

    def __init__(self, c: NetworkConfig):
        super().__init__()
        self.detr = MDETR(c)
        self.bbox_attention = BboxAttention(c.d_model)
        self.mask_head = MaskHead(c.d_model, self.detr.backbone[0].body.pyramid, c.mask_width)
        self.config = c
        self.answers = self.detr.answers

    def position(self, height: int, width: int, padding: Tensor | None = None) -> Tensor:
        """As MDETR's."""
        return self.detr.position(height, width, padding)

    def padding(self, pixels: Tensor) -> Tensor:
        """As MDETR's."""
        return self.detr.padding(pixels)

    def vision(self, image: Tensor) -> tuple[Tensor, ...]:
        """As MDETR's."""
        return self.detr.vision(image)

    def text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """As MDETR's."""
        return self.detr.text(input_ids, attention_mask)

    def fusion(
        self,
        tokens: Tensor,
        position: Tensor,
        text_memory: Tensor,
        text_mask: Tensor,
        past: Tensor | None = None,
        past_boxes: Tensor | None = None,
        past_age: Tensor | None = None,
        padding: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """As MDETR's."""
        return self.detr.fusion(
            tokens, position, text_memory, text_mask, past, past_boxes, past_age, padding
        )

    @property
    def fusion_outputs(self) -> list[str]:
        """As MDETR's."""
        return self.detr.fusion_outputs

    @property
    def stride(self) -> int:
        """Pixels per image token and axis."""
        return self.detr.stride

    @property
    def pyramid(self) -> dict[str, int]:
        """As MDETR's."""
        return self.detr.pyramid

    def forward(
        self,
        tokens: Tensor,
        position: Tensor,
        text_memory: Tensor,
        text_mask: Tensor,
        padding: Tensor | None = None,
        remembered: Remembered | None = None,
    ) -> Outputs:
        """As MDETR's."""
        return self.detr(tokens, position, text_memory, text_mask, padding, remembered)

    def mask(self, hidden: Tensor, memory: Tensor, tokens: Tensor, *pyramid: Tensor) -> Tensor:
        """Masks of the object queries that were kept, in one image.

        hidden [1, K, d] and memory [1, N, d] from `fusion`; tokens [1, N, d] and maps
        [1, C, h, w] from `vision` -> logits [1, K, ceil(H/4), ceil(W/4)].
        """
        return self._draw(self.bbox_attention(hidden, memory), tokens, pyramid)[None]

    def masks(
        self,
        hidden: Tensor,
        memory: Tensor,
        image: Tensor,
        tokens: Tensor,
        *pyramid: Tensor,
        padding: Tensor | None = None,
    ) -> Tensor:
        """Masks of K object queries in I images.

        hidden [K, d], memory [K, N, d] of each query's caption and image [K] of each; tokens
        [I, N, d], maps [I, C, h, w] and padding [I, N], if any, from `vision` and `padding`
        -> logits [K, ceil(H/4), ceil(W/4)].
        """
        padding = None if padding is None else padding[image]
        attention = self.bbox_attention(hidden[:, None], memory, padding)
        return self._draw(attention, tokens, pyramid, image)

    def _draw(
        self,
        attention: Tensor,
        tokens: Tensor,
        pyramid: Sequence[Tensor],
        image: Tensor | None = None,
    ) -> Tensor:
        rows, columns = ((side + 1) // 2 for side in pyramid[0].shape[-2:])
        grid = tokens.transpose(1, 2).reshape(len(tokens), tokens.shape[-1], rows, columns)
        maps = attention.reshape(-1, HEADS, rows, columns)
        return self.mask_head(grid, maps, pyramid, image)


def grounding(network: MDETR | DETRsegm) -> MDETR:
    """The network without its mask head."""
    return network.detr if isinstance(network, DETRsegm) else network


def build(c: NetworkConfig) -> MDETR | DETRsegm:
    """The network of that structure."""
    return DETRsegm(c) if c.masks else MDETR(c)
