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

HEADS = (
    "qa_embed.",
    "answer_",
    "isfinal_embed.",
    "bbox_attention.",
    "mask_head.",
    "align_scale",
    "past.",
    "lost.",
    "contrastive_align_projection_",
)
"""How the entries of heads begin that a network may have or not; answers from objects are
answers."""
ANSWER_OPTIONS = {"answers", "answer_classes", "answer_attributes"}
"""Options of the answer heads."""
MASK_OPTIONS = {"masks", "mask_width"}
"""Options of the mask head."""
SINGLE_OPTIONS = ("aligned_logits", "answers_from_objects", "final", "contrastive_dim")
"""Options of which each is for heads of its own."""
START_OPTIONS = {"dropout", "query_grid", "answer_layer", "past", "lost"}
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
    that has heads besides, or lacks some, see `HEADS`. Returns the entries that the source lacks,
    which keep their values; `left_out` names those that the target lacks. Errors list what does
    not fit, with the target untouched."""
    apart = set(START_OPTIONS)
    if new_heads:
        apart |= _options_apart(source, target)
    mine, theirs = dataclasses.asdict(target.config), dataclasses.asdict(source.config)
    faults = [
        f"network.{key}: expected {theirs[key]!r}, found {value!r}"
        for key, value in mine.items()
        if key not in apart and value != theirs[key]
    ]
    state, given = target.state_dict(), _named_as(target, source)
    missing = [name for name in state if name not in given]
    heads = [name for name in missing if _of_head(name)]
    faults += [f"{name}: not in the weights" for name in missing if name not in heads]
    unused = [name for name in given if name not in state]
    faults += [
        f"{name}: not in the network" for name in unused if not new_heads or not _of_head(name)
    ]
    faults += [
        f"{name}: expected {tuple(state[name].shape)}, found {tuple(value.shape)}"
        for name, value in given.items()
        if name in state and state[name].shape != value.shape
    ]
    if faults:
        raise ValueError("the weights do not fit the network:\n  " + "\n  ".join(faults))
    target.load_state_dict({name: given.get(name, value) for name, value in state.items()})
    return heads


def left_out(source: MDETR | DETRsegm, target: MDETR | DETRsegm) -> list[str]:
    """Entries of a network that another one has no use for."""
    state = target.state_dict()
    return [name for name in _named_as(target, source) if name not in state]


def _of_head(name: str) -> bool:
    return name.removeprefix("detr.").startswith(HEADS)


def _options_apart(source: MDETR | DETRsegm, target: MDETR | DETRsegm) -> set[str]:
    """Options of heads that only one of the networks has."""
    a, b = source.config, target.config
    apart = {option for option in SINGLE_OPTIONS if not (getattr(a, option) and getattr(b, option))}
    if not (a.answers and b.answers):
        apart |= ANSWER_OPTIONS
    if not (a.masks and b.masks):
        apart |= MASK_OPTIONS
    return apart


def _named_as(target: MDETR | DETRsegm, source: MDETR | DETRsegm) -> dict[str, Tensor]:
    """Entries of the source by the names that they have in the target."""
    given = source.state_dict()
    if isinstance(target, DETRsegm) and not isinstance(source, DETRsegm):
        return {f"detr.{name}": value for name, value in given.items()}
    if isinstance(source, DETRsegm) and not isinstance(target, DETRsegm):
        return {name.removeprefix("detr."): value for name, value in given.items()}
    return given
