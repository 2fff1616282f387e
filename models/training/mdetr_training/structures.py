"""The structures of the released checkpoints."""

from copy import deepcopy
from dataclasses import replace
from functools import cache

import torch
from torch import nn

from .config import Config, InputConfig, NetworkConfig, TextConfig
from .segmentation import build

DISTILROBERTA = TextConfig(layers=6)
NETWORKS = {
    "resnet101": NetworkConfig(backbone="resnet101"),
    "efficientnetB3": NetworkConfig(backbone="tf_efficientnet_b3"),
    "efficientnetB5": NetworkConfig(backbone="tf_efficientnet_b5"),
    "clevr": NetworkConfig(backbone="resnet18", text=DISTILROBERTA, queries=25, answers="clevr"),
    "resnet101_gqa": NetworkConfig(backbone="resnet101", answers="gqa", contrastive_dim=0),
    "efficientnetB5_gqa": NetworkConfig(
        backbone="tf_efficientnet_b5", answers="gqa", contrastive_dim=0
    ),
    "resnet101_phrasecut": NetworkConfig(backbone="resnet101", masks=True, contrastive_dim=0),
    "efficientnetB3_phrasecut": NetworkConfig(
        backbone="tf_efficientnet_b3", masks=True, contrastive_dim=0
    ),
}
"""By the hub's name without `mdetr_`. Fine-tuned models that share one: RefCOCO, RefCOCO+,
RefCOCOg, merged Flickr30k and LVIS with resnet101 or efficientnetB3; CLEVR-Humans and CoGenT with
clevr."""

SMALL_TEXT = TextConfig(vocab_size=261, hidden=16, layers=1, heads=2, ffn=32, max_positions=258)
SMALL_BACKBONES = {
    "resnet18": ([8, 8, 8, 16, 16], [1, 1, 2, 1]),
    "resnet101": ([8, 4, 4, 8, 8], [1, 2, 2, 1]),
    "tf_efficientnet_b3": ([8, 8, 8, 8, 8, 8, 16, 16], [1, 2, 1, 1, 1, 1, 1]),
    "tf_efficientnet_b5": ([16, 8, 8, 8, 16, 8, 16, 24], [1, 1, 2, 1, 1, 1, 1]),
}


def small(network: NetworkConfig) -> NetworkConfig:
    """The same structure, cut in depth and width until its weights take some hundred kilobytes."""
    widths, blocks = SMALL_BACKBONES[network.backbone]
    return replace(
        network,
        backbone_widths=widths,
        backbone_blocks=blocks,
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        ffn=32,
        queries=9,
        contrastive_dim=8 if network.contrastive_dim else 0,
        answer_classes=[5, 3, 20, 12, 16, 8] if network.answers == "gqa" else [],
        text=replace(SMALL_TEXT),
    )


def config(name: str, reduced: bool = False) -> Config:
    """Configuration of the structure of that name; `reduced`: its small form."""
    network = small(NETWORKS[name]) if reduced else deepcopy(NETWORKS[name])
    resize = "none" if network.answers == "clevr" else "short-side"
    return Config(name=f"mdetr_{name}", network=network, input=InputConfig(resize=resize))


def empty(network: NetworkConfig) -> nn.Module:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return build(network)


@cache
def shapes(name: str, reduced: bool = False) -> dict[str, tuple[int, ...]]:
    """Shape of each of a checkpoint's entries."""
    network = empty(config(name, reduced).network)
    return {entry: tuple(v.shape) for entry, v in network.state_dict().items()}
