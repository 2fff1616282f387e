"""EfficientNet in TensorFlow's padding, with frozen batch norms."""

from timm.layers import FrozenBatchNormAct2d
from timm.models.efficientnet import EfficientNetFeatures, decode_arch_def
from torch import Tensor, nn

EFFICIENTNETS = {
    "tf_efficientnet_b3": (
        [40, 24, 32, 48, 96, 136, 232, 384],
        [2, 3, 3, 5, 5, 6, 2],
    ),
    "tf_efficientnet_b5": (
        [48, 24, 40, 64, 128, 176, 304, 512],
        [3, 5, 5, 7, 7, 9, 3],
    ),
}
KERNELS = [3, 3, 5, 3, 5, 5, 3]
STRIDES = [1, 2, 2, 2, 1, 2, 1]


def frozen_norm(channels: int, **kwargs) -> FrozenBatchNormAct2d:
    """timm's frozen batch norm with the SiLU that follows it; eps 1e-5, although these networks
    were defined with 1e-3: MDETR was trained so."""
    return FrozenBatchNormAct2d(channels, eps=1e-5, act_layer=nn.SiLU, **kwargs)


class EfficientNet(EfficientNetFeatures):
    """timm's EfficientNet up to its last stage.

    `widths` are the channels of the stem and of the seven stages, `blocks` the blocks of each
    stage. `pyramid` has the channels of the maps at strides 4, 8 and 16.
    """

    stride = 32

    def __init__(self, widths: list[int], blocks: list[int]):
        if len(widths) != 8 or len(blocks) != 7:
            raise ValueError(
                f"efficientnet: expected 8 widths and 7 blocks, found {widths} and {blocks}"
            )
        stem, *stages = widths
        definition = []
        for i, channels in enumerate(stages):
            kind, expansion = ("ds", 1) if i == 0 else ("ir", 6)
            definition.append(
                f"{kind}_r{blocks[i]}_k{KERNELS[i]}_s{STRIDES[i]}_e{expansion}_c{channels}_se0.25"
            )
        super().__init__(
            decode_arch_def([[stage] for stage in definition]),
            out_indices=(1, 2, 3, 4),
            stem_size=stem,
            pad_type="same",
            act_layer=nn.SiLU,
            norm_layer=frozen_norm,
            round_chs_fn=int,
        )
        *self.pyramid, self.channels = (stages[i] for i in (1, 2, 4, 6))

    def features(self, image: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> maps at strides 4, 8, 16 and 32; each halving rounds up."""
        return super().forward(image)

    def forward(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, channels, ceil(H/32), ceil(W/32)]."""
        return self.features(image)[-1]
