"""A backbone made ready for ONNX: batch norms in the convolutions, SAME padding as an attribute."""

from collections.abc import Iterator
from copy import deepcopy

import onnx
import torch
from timm.layers import Conv2dSame, FrozenBatchNormAct2d
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

FROZEN_NORMS = (FrozenBatchNorm2d, FrozenBatchNormAct2d)


@torch.no_grad()
def fuse(conv: nn.Conv2d, norm: FrozenBatchNorm2d | FrozenBatchNormAct2d) -> nn.Conv2d:
    """The convolution that does what both did, computed in double precision."""
    fused = deepcopy(conv)
    scale = norm.weight.double() * (norm.running_var.double() + norm.eps).rsqrt()
    bias = norm.bias.double() - norm.running_mean.double() * scale
    fused.weight.copy_(conv.weight.double() * scale[:, None, None, None])
    fused.bias = nn.Parameter(bias.to(conv.weight.dtype))
    return fused


def convolutions_of_norms(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Names of the frozen norms and, before each, of the convolution that it belongs to."""
    before = None
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            before = prefix + name
        elif isinstance(child, FROZEN_NORMS):
            yield before, prefix + name
        else:
            yield from convolutions_of_norms(child, f"{prefix}{name}.")


def fold_norms(module: nn.Module) -> None:
    """Fold each frozen norm into the convolution before it, in place; activations stay."""
    for conv, norm in list(convolutions_of_norms(module)):
        found = module.get_submodule(norm)
        module.set_submodule(conv, fuse(module.get_submodule(conv), found))
        module.set_submodule(norm, getattr(found, "act", nn.Identity()))


def fix_padding(module: nn.Module) -> None:
    """Replace timm's convolutions that pad by input size, in place, by ones whose fixed padding
    gives outputs of the same size, so that `same_padding` can put theirs back in the graph."""
    for name, child in list(module.named_children()):
        if isinstance(child, Conv2dSame):
            conv = nn.Conv2d(
                child.in_channels,
                child.out_channels,
                child.kernel_size,
                child.stride,
                padding=tuple((k - 1) // 2 for k in child.kernel_size),
                groups=child.groups,
                device="meta",
            )
            conv.weight, conv.bias = child.weight, child.bias
            setattr(module, name, conv)
        else:
            fix_padding(child)


def folded(network: nn.Module) -> nn.Module:
    """A copy of a network for export, which shares what it does not change; a network without
    frozen norms is returned as it is."""
    if not any(isinstance(m, FROZEN_NORMS) for m in network.modules()):
        return network
    shared = {id(t): t for t in [*network.parameters(), *network.buffers()]}
    network = deepcopy(network, shared)
    fold_norms(network)
    fix_padding(network)
    return network


def same_padding(model: onnx.ModelProto, network: nn.Module) -> None:
    """Have the graph derive the padding of these convolutions of the unfolded network from the
    input's size: ceil(n / stride) outputs, an odd rest of the padding at the end."""
    convs = {n for n, m in network.named_modules() if isinstance(m, Conv2dSame)}
    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[1].removesuffix(".weight") in convs:
            fixed = [a for a in node.attribute if a.name != "pads"]
            del node.attribute[:]
            node.attribute.extend([*fixed, onnx.helper.make_attribute("auto_pad", "SAME_UPPER")])
            convs.remove(node.input[1].removesuffix(".weight"))
    if convs and any(node.op_type == "Conv" for node in model.graph.node):
        raise RuntimeError(f"convolutions not found in the graph: {sorted(convs)}")
