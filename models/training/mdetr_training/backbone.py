"""Image backbones: a picture to feature maps."""

import torch
from timm.layers import FrozenBatchNormAct2d
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck
from torchvision.ops import FrozenBatchNorm2d

from .efficientnet import EFFICIENTNETS, EfficientNet


class SmallResNet(nn.Module):
    """A ResNet of basic blocks at stride 16 with free widths, for training from scratch.

    `widths` are the channels of the stem (stride 2) and of layer1..layer3 (strides 4, 8, 16);
    `blocks` the basic blocks of each layer. `pyramid` has the channels of the maps at strides 4
    and 8.
    """

    stride = 16

    def __init__(self, widths: list[int], blocks: list[int]):
        super().__init__()
        if len(widths) != 4 or len(blocks) != 3:
            raise ValueError(
                f"small-resnet: expected 4 widths and 3 blocks, found {widths} and {blocks}"
            )
        self.conv1 = nn.Conv2d(3, widths[0], 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        for i, count in enumerate(blocks, start=1):
            setattr(self, f"layer{i}", self._layer(widths[i - 1], widths[i], count))
        self.channels = widths[-1]
        self.pyramid = widths[1:3]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @staticmethod
    def _layer(inplanes: int, planes: int, count: int) -> nn.Sequential:
        downsample = nn.Sequential(
            nn.Conv2d(inplanes, planes, 1, stride=2, bias=False), nn.BatchNorm2d(planes)
        )
        first = BasicBlock(inplanes, planes, stride=2, downsample=downsample)
        return nn.Sequential(first, *(BasicBlock(planes, planes) for _ in range(count - 1)))

    def features(self, image: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> maps at strides 4, 8 and 16; each halving rounds up."""
        x = self.relu(self.bn1(self.conv1(image)))
        maps = []
        for layer in (self.layer1, self.layer2, self.layer3):
            x = layer(x)
            maps.append(x)
        return maps

    def forward(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, channels, ceil(H/16), ceil(W/16)]."""
        return self.features(image)[-1]


class ResNet(nn.Module):
    """A torchvision ResNet without its classifier, with frozen batch norms.

    `widths` are the channels of the stem and of the 3x3 convolutions of layer1..layer4; `blocks`
    the blocks of each layer. `pyramid` has the channels of the maps at strides 4, 8 and 16.
    """

    stride = 32

    def __init__(self, block: type[BasicBlock | Bottleneck], widths: list[int], blocks: list[int]):
        super().__init__()
        if len(widths) != 5 or len(blocks) != 4:
            raise ValueError(f"resnet: expected 5 widths and 4 blocks, found {widths} and {blocks}")
        self.conv1 = nn.Conv2d(3, widths[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = FrozenBatchNorm2d(widths[0])
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inplanes = widths[0]
        for i, count in enumerate(blocks, start=1):
            layer = self._layer(block, inplanes, widths[i], count, stride=1 if i == 1 else 2)
            setattr(self, f"layer{i}", layer)
            inplanes = widths[i] * block.expansion
        self.channels = inplanes
        self.pyramid = [width * block.expansion for width in widths[1:4]]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @staticmethod
    def _layer(
        block: type[BasicBlock | Bottleneck], inplanes: int, planes: int, count: int, stride: int
    ) -> nn.Sequential:
        norm, channels = FrozenBatchNorm2d, planes * block.expansion
        downsample = None
        if stride != 1 or inplanes != channels:
            downsample = nn.Sequential(
                nn.Conv2d(inplanes, channels, 1, stride=stride, bias=False), norm(channels)
            )
        first = block(inplanes, planes, stride, downsample, norm_layer=norm)
        rest = (block(channels, planes, norm_layer=norm) for _ in range(count - 1))
        return nn.Sequential(first, *rest)

    def features(self, image: Tensor) -> list[Tensor]:
        """[B, 3, H, W] -> maps at strides 4, 8, 16 and 32; each halving rounds up."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        maps = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            maps.append(x)
        return maps

    def forward(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, channels, ceil(H/32), ceil(W/32)]."""
        return self.features(image)[-1]


RESNETS = {
    "resnet18": (BasicBlock, [2, 2, 2, 2]),
    "resnet50": (Bottleneck, [3, 4, 6, 3]),
    "resnet101": (Bottleneck, [3, 4, 23, 3]),
}
RESNET_WIDTHS = [64, 64, 128, 256, 512]


class Body(nn.Module):
    """Gives a backbone the key prefix of the released checkpoints."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, image: Tensor) -> Tensor:
        return self.body(image)


def build(name: str, widths: list[int], blocks: list[int]) -> nn.Module:
    """The backbone of that name. Of the released ones, `widths` and `blocks` may be empty: the
    published sizes."""
    if name == "small-resnet":
        return SmallResNet(widths, blocks)
    if name in RESNETS:
        block, standard = RESNETS[name]
        return ResNet(block, widths or RESNET_WIDTHS, blocks or standard)
    if name in EFFICIENTNETS:
        standard_widths, standard_blocks = EFFICIENTNETS[name]
        return EfficientNet(widths or standard_widths, blocks or standard_blocks)
    known = ", ".join(["small-resnet", *RESNETS, *EFFICIENTNETS])
    raise ValueError(f"backbone {name!r} is not known; known: {known}")


@torch.no_grad()
def calibrate(network: nn.Module, image: Tensor) -> None:
    """Give frozen batch norms the statistics of what reaches them of pictures [B, 3, H, W].

    A backbone that starts anew needs it: its frozen norms would pass on everything as it is, and
    what leaves a block would be larger than what enters it.
    """

    def measure(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        variance, mean = torch.var_mean(inputs[0].float(), (0, 2, 3))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

    norms = (FrozenBatchNorm2d, FrozenBatchNormAct2d)
    found = [module for module in network.modules() if isinstance(module, norms)]
    if not found:
        return
    hooks = [module.register_forward_pre_hook(measure) for module in found]
    try:
        network(image)
    finally:
        for hook in hooks:
            hook.remove()


def stride(name: str) -> int:
    """Pixels per image token and axis of the backbone of that name."""
    return SmallResNet.stride if name == "small-resnet" else ResNet.stride
