"""The paper's optimisation: AdamW in three groups, schedules of their rates, averaged weights."""

import copy
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from .backbone import ResNet
from .network import MDETR
from .segmentation import DETRsegm, grounding

ORDER = (
    "transformer.",
    "class_embed.",
    "isfinal_embed.",
    "bbox_embed.",
    "query_embed.",
    "qa_embed.",
    "input_proj.",
    "backbone.",
    "contrastive_align_projection_image.",
    "contrastive_align_projection_text.",
    "answer_type_head.",
    "answer_rel_head.",
    "answer_obj_head.",
    "answer_global_head.",
    "answer_binary_head.",
    "answer_attr_head.",
    "answer_reg_head.",
    "answer_cat_head.",
)
"""How entries begin, in the order in which the official code defines them; others come last. An
optimiser's state knows its parameters by their places only."""


@dataclass
class Rates:
    """Learning rates of the three groups."""

    rest: float = 1e-4
    backbone: float = 1e-5
    text_encoder: float = 5e-5


@dataclass
class Schedule:
    """How rates change with the steps, by one of `KINDS`:

    step: a tenth after every `drop` epochs
    multistep: a half after `drop` epochs and after every 50 more
    linear_with_warmup: as "step", but the text encoder's rate grows for a share `warmup` of all
        steps and then falls to zero, both linearly
    all_linear_with_warmup: all rates as that one
    """

    epochs: int
    steps_per_epoch: int
    kind: str = "linear_with_warmup"
    drop: int = 35
    warmup: float = 0.01

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"schedule: expected one of {', '.join(KINDS)}, found {self.kind!r}")
        for name in ("epochs", "steps_per_epoch", "drop"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected 1 at least, found {getattr(self, name)}")
        if not 0 <= self.warmup <= 1:
            raise ValueError(f"warmup: expected a share from 0 to 1, found {self.warmup}")

    def factors(self, step: int) -> tuple[float, float, float]:
        """What multiplies the rates of the groups, as in `groups`, once optimiser step `step`,
        counted from 0, has been made. The official code sets rates after each step: the first one
        has them full, whatever the warm-up, and each later one those of the step before."""
        epoch = step // self.steps_per_epoch
        linear = self._linear(step)
        if self.kind == "all_linear_with_warmup":
            return linear, linear, linear
        if self.kind == "multistep":
            factor = 0.5 ** bisect_right(range(self.drop, self.epochs, 50), epoch)
        else:
            factor = 0.1 ** (epoch // self.drop)
        return factor, factor, linear if self.kind == "linear_with_warmup" else factor

    def _linear(self, step: int) -> float:
        total = self.epochs * self.steps_per_epoch
        warmup = round(self.warmup * total)
        if step < warmup:
            return step / warmup
        return max(0.0, (total - step) / max(1, total - warmup))


KINDS = ("step", "multistep", "linear_with_warmup", "all_linear_with_warmup")
"""Of schedules."""


def freeze_first_layers(network: MDETR | DETRsegm) -> None:
    """Leave the stem and layer1 of a ResNet as they are, as the official code does; of an
    EfficientNet everything trains."""
    body = grounding(network).backbone[0].body
    if isinstance(body, ResNet):
        for name, parameter in body.named_parameters():
            if not name.startswith(("layer2.", "layer3.", "layer4.")):
                parameter.requires_grad_(False)


def ordered(network: MDETR | DETRsegm) -> list[tuple[str, nn.Parameter]]:
    """Parameters by name, in the order of the official code's network."""

    def rank(name: str) -> int:
        name = name.removeprefix("detr.")
        return next((i for i, begin in enumerate(ORDER) if name.startswith(begin)), len(ORDER))

    return sorted(network.named_parameters(), key=lambda item: rank(item[0]))


def groups(network: MDETR | DETRsegm) -> list[list[tuple[str, nn.Parameter]]]:
    """What trains, of `ordered`: neither backbone nor text encoder, the backbone, the text
    encoder."""
    trained = [(name, p) for name, p in ordered(network) if p.requires_grad]
    apart = ("backbone", "text_encoder")
    rest = [(name, p) for name, p in trained if not any(part in name for part in apart)]
    return [rest, *([(name, p) for name, p in trained if part in name] for part in apart)]


def adamw(
    network: MDETR | DETRsegm,
    rates: Rates,
    weight_decay: float = 1e-4,
    more: Iterable[nn.Parameter] = (),
) -> torch.optim.AdamW:
    """An optimiser of the parameters that train, in the order of the official code's, which can
    load its state. `more` trains beside the network, with its first group."""
    parts = [[p for _, p in part] for part in groups(network)]
    parts[0] += more
    return torch.optim.AdamW(
        [
            {"params": parts[0], "lr": rates.rest},
            {"params": parts[1], "lr": rates.backbone},
            {"params": parts[2], "lr": rates.text_encoder},
        ],
        lr=rates.rest,
        weight_decay=weight_decay,
    )


def set_rates(
    optimizer: torch.optim.Optimizer, rates: Rates, factors: tuple[float, float, float]
) -> None:
    """Give the groups of `adamw` their rates times the factors of `Schedule.factors`."""
    full = (rates.rest, rates.backbone, rates.text_encoder)
    for group, rate, factor in zip(optimizer.param_groups, full, factors, strict=True):
        group["lr"] = rate * factor


EMBEDDINGS = (
    "word_embeddings.weight",
    "token_type_embeddings.weight",
    "LayerNorm.weight",
    "LayerNorm.bias",
    "position_embeddings.weight",
)
"""First parameters of a text encoder. Up to version 4 of transformers, with which the released
files were written, the last one came second."""


def load_state(optimizer: torch.optim.AdamW, network: MDETR | DETRsegm, state: dict) -> None:
    """Take over an optimiser's state, ours or the official code's, into one from `adamw` without
    more parameters. Errors name the parameter whose state does not fit."""
    expected = groups(network)
    saved = state["param_groups"]
    found = [len(group["params"]) for group in saved]
    if found != [len(part) for part in expected]:
        raise ValueError(
            f"optimizer: expected groups of {[len(part) for part in expected]} parameters, found "
            f"{found}; it belongs to another network, or to other frozen parts"
        )
    moments = state["state"]

    def shape(index: int) -> torch.Size | None:
        return moments[index]["exp_avg"].shape if index in moments else None

    saved = [dict(group, params=list(group["params"])) for group in saved]
    places, text = saved[2]["params"], expected[2]
    first = [name for name, _ in text[: len(EMBEDDINGS)]]
    if len(first) == len(EMBEDDINGS) and all(map(str.endswith, first, EMBEDDINGS)):
        if shape(places[1]) == text[4][1].shape != text[1][1].shape:
            places.insert(len(EMBEDDINGS) - 1, places.pop(1))
    for group, part in zip(saved, expected, strict=True):
        for index, (name, parameter) in zip(group["params"], part, strict=True):
            if shape(index) not in (None, parameter.shape):
                raise ValueError(
                    f"optimizer: {name}: expected {tuple(parameter.shape)}, found "
                    f"{tuple(shape(index))}; it belongs to another network"
                )
    optimizer.load_state_dict({"state": moments, "param_groups": saved})


class Ema:
    """Exponential moving average of a network's whole state."""

    def __init__(self, network: MDETR | DETRsegm):
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: MDETR | DETRsegm, decay: float) -> None:
        """One step: average * decay + value * (1 - decay); counters are copied.

        What does not change stays, to the bit. In the official code's order of operations, fp32's
        0.9998 and 0.0002 add up to more than one, and its averages end up 0.013 % too large.
        """
        state = network.state_dict()
        for name, average in self.network.state_dict().items():
            if average.is_floating_point():
                average.lerp_(state[name], 1 - decay)
            else:
                average.copy_(state[name])
