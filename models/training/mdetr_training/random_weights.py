"""Random weights that behave like trained ones: activations stay finite, outputs vary."""

import math

import torch
import torch.nn.functional as F
from timm.models.efficientnet import SqueezeExcite
from torch import Tensor, nn

from .config import NetworkConfig
from .fold import FROZEN_NORMS
from .segmentation import build

THRESHOLD = 0.7
"""The usual threshold of scores."""
SIZE = (320, 416)
"""Height and width of the pictures that statistics are taken from."""


def last_norms(body: nn.Module) -> list[nn.Module]:
    """The norm that ends each residual block."""
    inside = [[m for m in b.children() if isinstance(m, FROZEN_NORMS)] for b in body.modules()]
    return [norms[-1] for norms in inside if len(norms) > 1]


def calibrate(norm: nn.Module, inputs: tuple[Tensor]) -> None:
    """Set a frozen norm's statistics near those of its input, and random scales and shifts. What
    other channels have in each variance keeps rare channels from being blown up."""
    (x,) = inputs
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
    var = (var + var.mean()) / 2 + 0.3 * x.pow(2).mean()
    norm.running_mean.copy_(mean + 0.2 * var.sqrt() * torch.randn_like(mean))
    norm.running_var.copy_(var * torch.empty_like(var).uniform_(0.7, 1.4))
    norm.weight.uniform_(0.6, 1.3)
    norm.bias.uniform_(-0.3, 0.3)


def pictures() -> Tensor:
    """Unlike pictures to take statistics from: [4, 3, H, W]. A picture far stronger than all of
    them would grow from block to block."""
    scales = octaves(*SIZE)
    black = torch.full_like(scales, -2.0)
    return torch.cat([torch.randn_like(scales), scales, 0.3 * scales + 1.0, black])


def octaves(height: int, width: int) -> Tensor:
    """A picture of noise at every scale, as photographs have it: [1, 3, H, W], variance one."""
    picture = torch.randn(1, 3, height, width)
    cells = 2
    while cells < min(height, width):
        coarse = torch.randn(1, 3, cells, max(1, cells * width // height))
        picture += F.interpolate(coarse, size=(height, width), mode="bilinear")
        cells *= 2
    return picture / picture.std()


def damp(norm: nn.Module, _: tuple[Tensor]) -> None:
    """Have a residual block add little to its input, as in trained networks; a hundred layers
    would otherwise enlarge rounding errors a thousandfold."""
    norm.weight.mul_(0.25)


@torch.no_grad()
def random_network(c: NetworkConfig, seed: int = 0) -> nn.Module:
    """A network in evaluation mode. Scores lie around the usual threshold."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = build(c).eval()
        detr = network.detr if c.masks else network
        norms = [m for m in detr.backbone.modules() if isinstance(m, FROZEN_NORMS)]
        hooks = [norm.register_forward_pre_hook(calibrate) for norm in norms]
        hooks += [norm.register_forward_pre_hook(damp) for norm in last_norms(detr.backbone)]
        for module in detr.backbone.modules():
            if isinstance(module, SqueezeExcite):
                module.conv_expand.weight.mul_(0.1)
                module.conv_expand.bias.uniform_(-1.0, 1.0)
        detr.backbone(pictures())
        for hook in hooks:
            hook.remove()
        for module in network.modules():
            if isinstance(module, nn.LayerNorm | nn.GroupNorm):
                module.weight.uniform_(0.7, 1.3)
                module.bias.uniform_(-0.2, 0.2)
        spread(network)
        place_scores(network, octaves(*SIZE), torch.randint(5, c.text.vocab_size, (1, 16)))
    return network


def spread(network: nn.Module) -> None:
    """Have object queries look at different places, and scores, boxes and masks differ by it."""
    detr = network.detr if network.config.masks else network
    for layer in detr.transformer.decoder.layers:
        layer.self_attn.in_proj_weight.mul_(2.0)
        layer.cross_attn_image.in_proj_weight.mul_(2.0)
    detr.class_embed.weight.mul_(2.0)
    for linear in detr.bbox_embed.layers:
        linear.weight.mul_(2.5)
    if network.config.masks:
        network.bbox_attention.q_linear.weight.mul_(4.0)
        network.bbox_attention.k_linear.weight.mul_(4.0)
        network.mask_head.lay1.weight[:, network.config.d_model :].mul_(8.0)


@torch.no_grad()
def place_scores(network: nn.Module, image: Tensor, ids: Tensor) -> None:
    """Shift the logit of "no object" until half of the scores for an image [1, 3, H, W] and token
    ids [1, L] pass `THRESHOLD`."""
    detr = network.detr if network.config.masks else network
    mask = torch.ones_like(ids)
    maps = network.vision(image)
    tokens = maps[0] if network.config.masks else maps
    position = network.position(*image.shape[2:])
    logits = network.fusion(tokens, position, network.text(ids, mask), mask)[0]
    odds = logits[..., :-1].logsumexp(-1) - logits[..., -1]
    detr.class_embed.bias[-1] += odds.median() - math.log(THRESHOLD / (1 - THRESHOLD))
