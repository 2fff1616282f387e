"""Weights of a part of the network, trained for something else: of ImageNet, of language."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from . import checkpoint
from .network import MDETR
from .segmentation import DETRsegm, grounding

PREFIXES = {
    "backbone": ("backbone.0.body.", "detr.backbone.0.body."),
    "text": (
        "transformer.text_encoder.",
        "detr.transformer.text_encoder.",
        "roberta.",
    ),
}
"""How the entries of a part begin in files that have more than the part."""
HEADS = {
    "backbone": ("fc.", "classifier.", "conv_head.", "bn2."),
    "text": ("lm_head.", "pooler."),
}
"""How the entries of other heads begin, which the network has no use for; `pooler` may be absent,
as nothing reads what it gives."""


def part(network: MDETR | DETRsegm, name: str) -> nn.Module:
    """The backbone or the text encoder."""
    detr = grounding(network)
    return detr.backbone[0].body if name == "backbone" else detr.transformer.text_encoder


def take(network: MDETR | DETRsegm, name: str, path: Path) -> int:
    """Copy the weights of a part ("backbone" or "text") from a file of torchvision, timm or Hugging
    Face, or of a whole network, into the network; gives how many entries.

    Raises `ValueError` with all that does not fit, with the network as it was.
    """
    target = part(network, name)
    given = _of_part(read(path), name)
    state = target.state_dict()
    faults = [
        f"{entry}: not in the file"
        for entry in state
        if entry not in given and not entry.startswith(HEADS[name])
    ]
    faults += [
        f"{entry}: not in the network"
        for entry in given
        if entry not in state and not entry.startswith(HEADS[name])
    ]
    taken = {entry: value for entry, value in given.items() if entry in state}
    faults += [
        f"{entry}: expected {tuple(state[entry].shape)}, found {tuple(value.shape)}"
        for entry, value in taken.items()
        if state[entry].shape != value.shape
    ]
    if faults:
        raise ValueError(f"{path}: not this network's {name}:\n  {checkpoint.listed(faults)}")
    target.load_state_dict(state | checkpoint.values(path, taken))
    return len(taken)


def read(path: Path) -> Mapping[str, Tensor]:
    """Entries of a safetensors file, or of one that torch.save wrote, with or without something
    around the weights."""
    if path.suffix == ".safetensors":
        try:
            state = load_file(path)
        except (OSError, SafetensorError) as error:
            raise ValueError(f"{path}: expected a safetensors file ({error})") from None
    else:
        content = checkpoint.load(path)
        whole = isinstance(content, Mapping) and {"model", "model_ema"} & set(content)
        state = content if not whole else checkpoint.entries(path, content)
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"{path}: expected weights by name, found {type(state).__name__}")
    return {k: v for k, v in state.items() if not k.endswith(checkpoint.IGNORED)}


def _of_part(state: Mapping[str, Tensor], name: str) -> Mapping[str, Tensor]:
    for prefix in PREFIXES[name]:
        found = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        if found:
            return found
    return state
