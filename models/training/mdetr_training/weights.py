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


def rounded(tensor: Tensor) -> Tensor:
    """Matrices and kernels in fp16; vectors, whose range is wider, as they are."""
    if tensor.is_floating_point() and tensor.dim() > 1:
        return tensor.half().contiguous()
    return tensor.contiguous()


def round_weights(network: MDETR) -> None:
    """Give the network the values that its saved weights will have."""
    state = {k: rounded(v).to(v.dtype) for k, v in network.state_dict().items()}
    network.load_state_dict(state)


def save(path: Path, config: Config, network: MDETR) -> None:
    """Write weights and configuration; the data's local paths stay out."""
    values = dataclasses.asdict(config)
    values["data"] = {}
    partial = path.with_suffix(".partial")
    state = {k: rounded(v) for k, v in network.state_dict().items()}
    save_file(state, partial, metadata={"config": json.dumps(values)})
    partial.chmod(0o644)
    partial.rename(path)


def load(path: Path) -> tuple[Config, MDETR]:
    """The configuration and the network in evaluation mode."""
    with safe_open(path, "pt") as file:
        config = configs.from_dict(json.loads(file.metadata()["config"]))
        network = MDETR(config.network)
        current = network.state_dict()
        found = set(file.keys())
        if found != set(current):
            missing, extra = sorted(set(current) - found), sorted(found - set(current))
            raise ValueError(f"{path}: keys missing {missing}, not expected {extra}")
        network.load_state_dict({k: file.get_tensor(k).to(v.dtype) for k, v in current.items()})
    return config, network.eval()
