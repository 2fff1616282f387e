"""A network's averaged weights as safetensors, small enough for the repository."""

import dataclasses
import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from . import config as configs
from .config import Config
from .network import MDETR
from .segmentation import DETRsegm, build

HEADS = ("qa_embed.", "answer_", "isfinal_embed.", "bbox_attention.", "mask_head.", "align_scale")
"""How the entries begin that a network without answers, final objects, masks and aligned logits
lacks; answers from objects are answers."""
ANSWER_OPTIONS = {"answers", "answer_classes", "answer_attributes"}
"""Options of the answer heads."""
MASK_OPTIONS = {"masks", "mask_width"}
"""Options of the mask head."""
START_OPTIONS = {"dropout", "query_grid", "answer_layer"}
"""Options that training may start with other values of: the entries stay the same."""


def rounded(tensor: Tensor) -> Tensor:
    """Matrices and kernels in fp16; vectors, whose range is wider, as they are."""
    if tensor.is_floating_point() and tensor.dim() > 1:
        return tensor.half().contiguous()
    return tensor.contiguous()


def round_weights(network: MDETR | DETRsegm) -> None:
    """Give the network the values that its saved weights will have."""
    state = {k: rounded(v).to(v.dtype) for k, v in network.state_dict().items()}
    network.load_state_dict(state)


def save(path: Path, config: Config, network: MDETR | DETRsegm) -> None:
    """Write weights and configuration; the data's local paths stay out."""
    values = dataclasses.asdict(config)
    values["data"] = {}
    partial = path.with_suffix(".partial")
    state = {k: rounded(v) for k, v in network.state_dict().items()}
    save_file(state, partial, metadata={"config": json.dumps(values)})
    partial.chmod(0o644)
    partial.rename(path)


def load(path: Path) -> tuple[Config, MDETR | DETRsegm]:
    """The configuration and the network in evaluation mode."""
    with safe_open(path, "pt") as file:
        config = configs.from_dict(json.loads(file.metadata()["config"]))
        network = build(config.network)
        current = network.state_dict()
        found = set(file.keys())
        if found != set(current):
            missing, extra = sorted(set(current) - found), sorted(found - set(current))
            raise ValueError(f"{path}: keys missing {missing}, not expected {extra}")
        network.load_state_dict({k: file.get_tensor(k).to(v.dtype) for k, v in current.items()})
    return config, network.eval()


def transfer(source: MDETR | DETRsegm, target: MDETR | DETRsegm, new_heads: bool) -> list[str]:
    """Copy all weights of a network into one of the same structure, or, with `new_heads`, into one
    that has answers, answers from objects, final objects, masks or aligned logits besides.

    Returns the entries that the source lacks, which keep their values. Errors list what does not
    fit, with the target untouched.
    """
    apart = set(START_OPTIONS)
    if new_heads and not source.config.answers:
        apart |= ANSWER_OPTIONS
    if new_heads and not source.config.masks:
        apart |= MASK_OPTIONS
    for option in ("final", "aligned_logits", "answers_from_objects"):
        if new_heads and not getattr(source.config, option):
            apart.add(option)
    mine, theirs = dataclasses.asdict(target.config), dataclasses.asdict(source.config)
    faults = [
        f"network.{key}: expected {theirs[key]!r}, found {value!r}"
        for key, value in mine.items()
        if key not in apart and value != theirs[key]
    ]
    state, given = target.state_dict(), source.state_dict()
    if isinstance(target, DETRsegm) and not isinstance(source, DETRsegm):
        given = {f"detr.{name}": value for name, value in given.items()}
    elif isinstance(source, DETRsegm) and not isinstance(target, DETRsegm):
        given = {name.removeprefix("detr."): value for name, value in given.items()}
    missing = [name for name in state if name not in given]
    heads = [name for name in missing if name.removeprefix("detr.").startswith(HEADS)]
    faults += [f"{name}: not in the weights" for name in missing if name not in heads]
    faults += [f"{name}: not in the network" for name in given if name not in state]
    faults += [
        f"{name}: expected {tuple(state[name].shape)}, found {tuple(value.shape)}"
        for name, value in given.items()
        if name in state and state[name].shape != value.shape
    ]
    if faults:
        raise ValueError("the weights do not fit the network:\n  " + "\n  ".join(faults))
    target.load_state_dict(state | given)
    return heads
