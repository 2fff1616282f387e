"""Compares training with the official code, and writes the references of test_official_training.

    python models/training/tests/official/training.py --official FOLDER [--write]

FOLDER holds https://github.com/ashkamath/mdetr at ea09acc. Its network, criteria and training loop
run as they are, but for what current libraries break and for its sizes: RoBERTa and the tokenizer
are built, not downloaded, as are the backbones, whose widths it takes from libraries.
"""

import argparse
import copy
import io
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
import torchvision
from safetensors.torch import save_file
from timm.layers import BatchNormAct2d
from torch import nn
from torchvision.models.resnet import ResNet
from transformers import PreTrainedTokenizerFast

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

import paper_cases as cases  # noqa: E402
from paper_cases import CASES, Case, Result, Sample  # noqa: E402

from mdetr_training import backbone as backbones  # noqa: E402
from mdetr_training import efficientnet  # noqa: E402
from mdetr_training.recipe import (  # noqa: E402
    KINDS,
    Rates,
    Schedule,
    adamw,
    load_state,
    set_rates,
)
from mdetr_training.transformer import roberta  # noqa: E402

OURS = {
    "isfinal": "final",
    **{
        f"answer_{h}": f"qa_{h}"
        for h in ("type", "obj", "rel", "attr", "cat", "global", "binary", "reg")
    },
}
"""Our names of losses, where they differ."""


def load_official(folder: Path) -> SimpleNamespace:
    """The official modules."""
    if not (folder / "models/mdetr.py").is_file():
        raise SystemExit(f"{folder}: expected the official code, found no models/mdetr.py")
    sys.path.insert(0, str(folder))
    tables = ModuleType("prettytable")
    tables.PrettyTable = None
    sys.modules.setdefault("prettytable", tables)
    import datasets.coco
    import main
    import models.backbone
    import models.mdetr
    import models.transformer
    import util.misc
    import util.optim

    import engine

    return SimpleNamespace(
        coco=datasets.coco,
        engine=engine,
        main=main,
        backbone=models.backbone,
        mdetr=models.mdetr,
        transformer=models.transformer,
        misc=util.misc,
        optim=util.optim,
    )


def small_resnet(widths: list[int], blocks: list[int], block: type, norm_layer: type) -> ResNet:
    """torchvision's, narrower."""
    planes = dict(zip([64, 128, 256, 512], widths[1:], strict=True))

    class Small(ResNet):
        def _make_layer(self, block, width, *more, **options):
            if width == 64:
                self.inplanes = widths[0]
                self.conv1 = nn.Conv2d(3, widths[0], 7, stride=2, padding=3, bias=False)
                self.bn1 = norm_layer(widths[0])
            return super()._make_layer(block, planes[width], *more, **options)

    return Small(block, blocks, norm_layer=norm_layer)


def small_efficientnet(widths: list[int], blocks: list[int]) -> nn.Module:
    """timm's, with norms that have statistics and the epsilon of its definition."""
    frozen = efficientnet.frozen_norm
    efficientnet.frozen_norm = partial(BatchNormAct2d, eps=1e-3, act_layer=nn.SiLU)
    try:
        body = efficientnet.EfficientNet(widths, blocks)
    finally:
        efficientnet.frozen_norm = frozen
    body.forward = body.features
    return body


def build_official(code: SimpleNamespace, case: Case) -> tuple[nn.Module, ...]:
    """Network, criteria and weights of losses, from the official builder; its arguments."""
    c = case.network

    class Frozen(code.backbone.FrozenBatchNorm2d):
        """With the activation that timm keeps in its norms."""

        def __init__(self, norm: BatchNormAct2d):
            super().__init__(norm.num_features)
            self.act = norm.act

        def forward(self, x):
            return self.act(super().forward(x))

    def replace_norms(module: nn.Module) -> None:
        for name, child in module.named_children():
            if isinstance(child, BatchNormAct2d):
                setattr(module, name, Frozen(child))
            else:
                replace_norms(child)

    def resnet(pretrained, norm_layer, replace_stride_with_dilation):
        block, _ = backbones.RESNETS[c.backbone]
        return small_resnet(c.backbone_widths, c.backbone_blocks, block, norm_layer)

    def backbone(args):
        found = build_backbone(args)
        found.num_channels = backbones.build(
            c.backbone, c.backbone_widths, c.backbone_blocks
        ).channels
        return found

    def text(_):
        found = roberta(c.text, 0.0)
        found.set_attn_implementation("sdpa")
        return found

    def tokenizer(_):
        found = PreTrainedTokenizerFast(
            tokenizer_object=cases.tokenizer(),
            pad_token="<pad>",
            model_input_names=["input_ids", "attention_mask"],
        )
        found.batch_encode_plus = found.__call__
        return found

    build_backbone = code.backbone.build_backbone
    code.mdetr.build_backbone = backbone
    code.backbone.replace_bn = replace_norms
    code.backbone.create_model = lambda *_, **__: small_efficientnet(
        c.backbone_widths, c.backbone_blocks
    )
    if c.backbone in backbones.RESNETS:
        setattr(torchvision.models, c.backbone, resnet)
    code.transformer.RobertaModel = SimpleNamespace(from_pretrained=text)
    code.transformer.RobertaTokenizerFast = SimpleNamespace(from_pretrained=tokenizer)
    args = arguments(code, case)
    try:
        network, criterion, _, answers, weights = code.mdetr.build(args)
    finally:
        code.mdetr.build_backbone = build_backbone
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    state = {k: cases.weight(k, tuple(v.shape)) for k, v in network.state_dict().items()}
    network.load_state_dict(state)
    return network.train(), criterion, answers, weights, args


def arguments(code: SimpleNamespace, case: Case) -> argparse.Namespace:
    """The official command line of the case."""
    c, loss, schedule = case.network, case.loss, cases.SCHEDULE
    timm = "timm_" if c.backbone.startswith("tf_") else ""
    values = {
        "dataset_config": "none",
        "device": "cpu",
        "backbone": timm + c.backbone,
        "hidden_dim": c.d_model,
        "nheads": c.heads,
        "enc_layers": c.encoder_layers,
        "dec_layers": c.decoder_layers,
        "dim_feedforward": c.ffn,
        "num_queries": c.queries,
        "dropout": 0.0,
        "contrastive_loss_hdim": c.contrastive_dim,
        "lr": cases.RATES.rest,
        "lr_backbone": cases.RATES.backbone,
        "text_encoder_lr": cases.RATES.text_encoder,
        "weight_decay": cases.WEIGHT_DECAY,
        "clip_max_norm": cases.CLIP_NORM,
        "ema_decay": cases.EMA_DECAY,
        "epochs": schedule.epochs,
        "lr_drop": schedule.drop,
        "schedule": schedule.kind,
        "fraction_warmup_steps": schedule.warmup,
        "qa_loss_coef": loss.qa * loss.qa_type,
    }
    if c.masks:
        values |= {"mask_model": "smallconv", "frozen_weights": "none"}
    if c.answers:
        values["combine_datasets"] = c.answers
    flags = {
        "predict_final": c.final,
        "do_qa": bool(c.answers),
        "split_qa_heads": bool(c.answers),
        "no_detection": not case.detection,
        "no_aux_loss": not loss.aux,
        "no_contrastive_align_loss": not c.contrastive_dim,
        "masks": c.masks,
    }
    line = [part for name, value in values.items() for part in (f"--{name}", str(value))]
    line += [f"--{name}" for name, given in flags.items() if given]
    return code.main.get_args_parser().parse_args(line)


def official_batch(code: SimpleNamespace, case: Case, step: int) -> dict:
    """A step's samples, through the official collation."""

    def target(sample: Sample) -> dict:
        encoded = cases.tokenizer().encode(sample.caption)
        found = {
            "caption": sample.caption,
            "boxes": sample.boxes,
            "labels": torch.ones(len(sample.boxes), dtype=torch.long),
            "tokens_positive": sample.spans,
            "positive_map": code.coco.create_positive_map(encoded, sample.spans),
        }
        if case.network.final:
            found["isfinal"] = sample.final
        if case.network.masks:
            found["masks"] = sample.masks
        for head in cases.ANSWER_HEADS.get(case.network.answers, {}):
            missing = 0.0 if head == "binary" else -100
            value = sample.answers.get(head, missing)
            found[f"answer_{head}"] = torch.tensor(float(value) if head == "binary" else value)
        return found

    pairs = [(s.picture, target(s)) for s in cases.samples(case, step)]
    return code.misc.collate_fn(False, pairs)


def official_losses(
    code: SimpleNamespace, case: Case, network: nn.Module, criteria: list, weights: dict
) -> dict[str, torch.Tensor]:
    """Weighted losses of the first batch by our names."""
    found = official_batch(code, case, 0)
    captions = [t["caption"] for t in found["targets"]]
    if case.network.masks:
        outputs = network(found["samples"], captions)
    else:
        memory = network(found["samples"], captions, encode_and_save=True)
        outputs = network(found["samples"], captions, encode_and_save=False, memory_cache=memory)
    losses = {}
    if criteria[0] is not None:
        targets = code.misc.targets_to(found["targets"], "cpu")
        losses |= criteria[0](outputs, targets, found["positive_map"])
    if criteria[1] is not None:
        losses |= criteria[1](outputs, found["answers"])
    losses = {k.removeprefix("loss_"): weights[k] * v for k, v in losses.items() if k in weights}

    def ours(name: str) -> str:
        for theirs, own in OURS.items():
            if name == theirs or name.startswith(f"{theirs}_"):
                return own + name.removeprefix(theirs)
        return name

    return {ours(k): v for k, v in losses.items()}


def official_optimizer(network: nn.Module, args: argparse.Namespace) -> torch.optim.AdamW:
    """An optimiser with the groups of main.py."""
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    backbone = [p for name, p in trained if "backbone" in name]
    text = [p for name, p in trained if "text_encoder" in name]
    apart = [*backbone, *text]
    return torch.optim.AdamW(
        [
            {"params": [p for _, p in trained if not any(p is other for other in apart)]},
            {"params": backbone, "lr": args.lr_backbone},
            {"params": text, "lr": args.text_encoder_lr},
        ],
        lr=args.lr,
        weight_decay=args.weight_decay,
    )


def official_epoch(
    code: SimpleNamespace,
    network: nn.Module,
    criteria: list,
    weights: dict,
    batches: object,
    optimizer: torch.optim.AdamW,
    average: nn.Module,
    args: argparse.Namespace,
    epoch: int,
) -> None:
    """An epoch of the official training loop, which says nothing."""
    with redirect_stdout(io.StringIO()):
        code.engine.train_one_epoch(
            model=network,
            criterion=criteria[0],
            contrastive_criterion=None,
            qa_criterion=criteria[1],
            weight_dict=weights,
            data_loader=batches,
            optimizer=optimizer,
            device=torch.device("cpu"),
            epoch=epoch,
            args=args,
            max_norm=args.clip_max_norm,
            model_ema=average,
        )


def theirs(code: SimpleNamespace, case: Case) -> Result:
    """The official side: gradients by its network and criteria, steps by its training loop."""
    network, *criteria, weights, args = build_official(code, case)
    losses = official_losses(code, case, network, criteria, weights)
    sum(losses.values()).backward()
    trained = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    gradients = {name: None if p.grad is None else p.grad.clone() for name, p in trained}
    network.zero_grad(set_to_none=True)
    average = copy.deepcopy(network)

    optimizer = official_optimizer(network, args)
    for begin in range(0, cases.STEPS, cases.SCHEDULE.steps_per_epoch):
        epoch = begin // cases.SCHEDULE.steps_per_epoch
        official_epoch(
            code,
            network,
            criteria,
            weights,
            Loader(code, case, begin),
            optimizer,
            average,
            args,
            epoch,
        )
    return cases.result(losses, gradients, network, average, optimizer)


class Loader:
    """The batches of an epoch, as many of them as are still wanted."""

    def __init__(self, code: SimpleNamespace, case: Case, begin: int):
        self.code, self.case, self.begin = code, case, begin

    def __len__(self) -> int:
        return cases.SCHEDULE.steps_per_epoch

    def __iter__(self):
        for step in range(self.begin, min(self.begin + len(self), cases.STEPS)):
            yield official_batch(self.code, self.case, step)


def largest(value: torch.Tensor | None) -> float:
    return 0.0 if value is None or not value.numel() else float(value.abs().max())


@dataclass
class Row:
    """Largest differences of a case. Biases of keys, see `paper_cases.key_bias`, stand apart."""

    losses: float
    """Relative."""
    gradients: float
    """Of each one's largest value, where that is more than rounding beside the largest of all."""
    moments: float
    """The same of the optimiser's averaged gradients, by their places in its state."""
    parameters: float
    averages: float
    key_biases: float
    """Of parameters."""
    counts: str
    """Losses, gradients, and those of them that are rounding alone."""

    def __str__(self) -> str:
        values = [self.losses, self.gradients, self.moments, self.parameters, self.averages]
        return "  ".join(f"{v:10.1e}" for v in [*values, self.key_biases]) + f"  {self.counts}"


def relative(found: list, expected: list, names: list[str]) -> tuple[float, int]:
    """The largest difference of entries, of each one's largest value, and how many are nothing."""
    pairs = [
        (cases.without_key_bias(n, f), cases.without_key_bias(n, e))
        for n, f, e in zip(names, found, expected, strict=True)
        if e is not None
    ]
    floor = cases.NOTHING * max(largest(e) for _, e in pairs)
    beside = [largest(f - e) for f, e in pairs if largest(e) <= floor]
    if max(beside, default=0.0) > floor:
        raise SystemExit(f"a gradient that the official code does not have: {max(beside)}")
    return max(largest(f - e) / largest(e) for f, e in pairs if largest(e) > floor), len(beside)


def compare(name: str, found: Result, expected: Result) -> Row:
    """The differences; raises where one side has what the other has not, or in another order."""
    names = list(expected.parameters)
    for kind in ("gradients", "parameters", "averages"):
        if list(getattr(found, kind)) != names:
            raise SystemExit(f"{name}: {kind}: other names, or the same in another order")
    if set(found.losses) != set(expected.losses):
        raise SystemExit(f"{name}: losses {set(found.losses) ^ set(expected.losses)} on one side")
    pairs = zip(found.gradients.items(), expected.gradients.values(), strict=True)
    alone = [k for (k, f), e in pairs if (f is None) != (e is None)]
    if alone:
        raise SystemExit(f"{name}: gradients on one side only: {alone}")
    gradients, nothing = relative(
        list(found.gradients.values()), list(expected.gradients.values()), names
    )
    moments = expected.state["state"]
    if set(found.state["state"]) != set(moments):
        raise SystemExit(f"{name}: the optimisers have stepped different parameters")
    inside = ["backbone" in n for n in names], ["text_encoder" in n for n in names]
    rest = [not (a or b) for a, b in zip(*inside, strict=True)]
    placed = [n for part in (rest, *inside) for n, here in zip(names, part, strict=True) if here]
    shared = sorted(moments)
    momentum, _ = relative(
        [found.state["state"][i]["exp_avg"] for i in shared],
        [moments[i]["exp_avg"] for i in shared],
        [placed[i] for i in shared],
    )

    def worst(kind: str, part: Callable) -> float:
        ours, theirs = getattr(found, kind), getattr(expected, kind)
        return max(largest(part(n, ours[n] - theirs[n])) for n in names)

    return Row(
        losses=max(abs(found.losses[k] - v) / v for k, v in expected.losses.items() if v),
        gradients=gradients,
        moments=momentum,
        parameters=worst("parameters", cases.without_key_bias),
        averages=worst("averages", cases.without_key_bias),
        key_biases=worst("parameters", cases.key_bias),
        counts=f"{len(expected.losses)} {len(names)} {nothing}",
    )


def compare_schedules(code: SimpleNamespace) -> float:
    """The largest difference of a group's rate at any step."""
    worst = 0.0
    for kind in KINDS:
        for epochs, steps, drop, warmup in [(7, 13, 3, 0.01), (120, 3, 15, 0.1), (4, 25, 9, 0.0)]:
            schedule = Schedule(epochs, steps, kind, drop, warmup)
            options = SimpleNamespace(
                epochs=epochs,
                lr_drop=drop,
                schedule=kind,
                fraction_warmup_steps=warmup,
                lr=1.0,
                lr_backbone=2.0,
                text_encoder_lr=3.0,
            )
            optimizer = SimpleNamespace(param_groups=[{}, {}, {}])
            for step in range(epochs * steps):
                code.optim.adjust_learning_rate(
                    optimizer, step // steps, step, epochs * steps, options
                )
                expected = [group["lr"] for group in optimizer.param_groups]
                set_rates(optimizer, Rates(1.0, 2.0, 3.0), schedule.factors(step))
                found = [group["lr"] for group in optimizer.param_groups]
                pairs = zip(found, expected, strict=True)
                worst = max(worst, *(abs(f - e) for f, e in pairs))
    return worst


def write(path: Path, result: Result) -> None:
    """A reference: losses, and length and projections of every gradient, parameter and average."""
    tensors = {"losses": torch.tensor(list(result.losses.values()))}
    for kind in ("gradients", "parameters", "averages"):
        rows = [cases.projected(k, v) for k, v in getattr(result, kind).items()]
        tensors[kind] = torch.tensor(rows)
    names = {"losses": " ".join(result.losses), "parameters": " ".join(result.parameters)}
    save_file(tensors, path, metadata=names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--official", type=Path, required=True)
    parser.add_argument("--write", action="store_true", help="write the references")
    parser.add_argument("--case", action="append", choices=CASES, help="only this one")
    options = parser.parse_args()
    code = load_official(options.official)
    print(f"schedules: rates differ by at most {compare_schedules(code):.1e}")
    columns = ["losses", "gradients", "moments", "parameters", "averages", "key biases"]
    print(f"{'':22}  " + "  ".join(f"{c:>10}" for c in columns) + "  losses, gradients, nothing")
    for name in options.case or CASES:
        expected = theirs(code, CASES[name])
        row = compare(name, cases.ours(CASES[name]), expected)
        again = cases.network(CASES[name])
        load_state(adamw(again, cases.RATES), again, expected.state)
        print(f"{name:22}  {row}", flush=True)
        if max(row.losses, row.gradients, row.parameters, row.averages) > cases.TOLERANCE:
            raise SystemExit(f"{name}: differs by more than {cases.TOLERANCE}")
        if options.write:
            write(TESTS / f"data/official-training/{name}.safetensors", expected)


if __name__ == "__main__":
    main()
