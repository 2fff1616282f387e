"""Image backbones: a picture to one feature map."""

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock


class SmallResNet(nn.Module):
    """A ResNet of basic blocks at stride 16 with free widths, for training from scratch.

    `widths` are the channels of the stem (stride 2) and of layer1..layer3 (strides 4, 8, 16);
    `blocks` the basic blocks of each layer.
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

    def forward(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, channels, ceil(H/16), ceil(W/16)]."""
        x = self.relu(self.bn1(self.conv1(image)))
        return self.layer3(self.layer2(self.layer1(x)))


class Body(nn.Module):
    """Gives a backbone the key prefix of the released checkpoints."""

    def __init__(self, body: nn.Module):
        super().__init__()
        self.body = body

    def forward(self, image: Tensor) -> Tensor:
        return self.body(image)


def build(name: str, widths: list[int], blocks: list[int]) -> nn.Module:
    """The backbone of that name."""
    if name != "small-resnet":
        raise ValueError(f"backbone {name!r} is not known; known: small-resnet")
    return SmallResNet(widths, blocks)
