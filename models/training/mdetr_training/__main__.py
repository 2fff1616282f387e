"""Command line: `python -m mdetr_training --help` lists its commands."""

import argparse
import json
import os
import sys
from pathlib import Path

import torch
from safetensors.numpy import save_file

from . import checkpoint, official, plot, reference, structures, templates, weights
from . import config as configs
from . import tokenizer as tokenizers
from .clips import Clips
from .config import Config
from .data import Data
from .export import TOLERANCES, export
from .feed import Pictures, Scenes
from .pictures import command as pictures
from .segmentation import build
from .train import LATEST, Trainer, config_of, restore, restored


def run_tokenizer(args: argparse.Namespace) -> None:
    captions = []
    for folder in args.dataset:
        if (folder / "clips.jsonl").exists():
            lines = (folder / "clips.jsonl").read_text().splitlines()
            captions += [c["text"] for line in lines for c in json.loads(line)["captions"]]
        else:
            images = json.loads((folder / "annotations.json").read_text())["images"]
            captions += [image["caption"] for image in images]
    if args.extend:
        captions = [caption.lower() for caption in captions]
        found = tokenizers.extended(tokenizers.load(args.extend), captions, args.vocab_size)
    else:
        found = tokenizers.train(captions, args.vocab_size)
    found.save(str(args.out))


def run_train(args: argparse.Namespace) -> None:
    try:
        train(args)
    except (OSError, ValueError, FloatingPointError) as error:
        sys.exit(f"error: {error}")
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def train(args: argparse.Namespace) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if "WORLD_SIZE" in os.environ:
        if device.type == "cuda":
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
            torch.cuda.set_device(device)
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    latest = args.out / LATEST
    found = None
    if latest.exists():
        found = config_of(checkpoint.of_run(latest)[1]), None
    elif args.init:
        found = initial(args.init)
    config = configs.load(args.config, found and found[0])
    if config.data.sources and (config.data.train or config.data.val):
        raise ValueError("data: expected train and val, or sources and val_sources, found both")
    for stage in config.stages:
        stage.freeze += [part for part in args.freeze if part not in stage.freeze]
    tokenizer = tokenizers.roberta(args.tokenizer)
    trainer = Trainer(config, tokenizer, args.out, device)
    begin(trainer, args, found and found[1])
    if trainer.rank == 0:
        tokenizer.save(str(args.out / "tokenizer.json"))
    if config.data.sources:
        feed = Pictures(config, tokenizer, trainer.rank, trainer.world)
    else:
        feed = scenes(trainer)
    trainer.run(feed, args.every, args.minutes)


def scenes(trainer: Trainer) -> Scenes:
    """The folders of rendered scenes, which the first process prepares."""
    config = trainer.config
    if trainer.rank > 0:
        torch.distributed.barrier()
    train, val = (
        Data(paths, trainer.tokenizer, config, trainer.network.stride) if paths else None
        for paths in (config.data.train, config.data.val)
    )
    clips, val_clips = (
        Clips(paths, trainer.tokenizer, config) if paths else None
        for paths in (config.data.clips, config.data.val_clips)
    )
    if trainer.world > 1 and trainer.rank == 0:
        torch.distributed.barrier()
    if train is None and clips is None:
        raise ValueError("data: expected train, clips or sources, found none")
    return Scenes(config, train, val, trainer.rank, trainer.world, clips, val_clips)


def begin(trainer: Trainer, args: argparse.Namespace, network: torch.nn.Module | None) -> None:
    """Continue the run in its folder or, if there is none, start as told, from a network if there
    is one."""
    latest = args.out / LATEST
    if latest.exists():
        trainer.resume(latest)
        print(f"resuming {latest} at stage {trainer.stage}, step {trainer.step}")
        return
    given = {"backbone": args.backbone, "text": args.text_encoder}
    given = {name: path for name, path in given.items() if path}
    if network is None:
        if args.new_heads or args.first_stage:
            raise ValueError("--new-heads, --first-stage: expected --init FILE with them")
        trainer.start_anew(given)
        for name, path in given.items():
            print(f"{name} of {path}")
        return
    if given:
        raise ValueError("--backbone, --text-encoder: expected no --init, which has both")
    trainer.begin_at(args.first_stage)
    try:
        new = trainer.start_from(network, args.new_heads)
    except ValueError as error:
        remedy = "" if args.new_heads else "\nOther answer or mask heads need --new-heads."
        raise ValueError(f"{args.init}: {error}{remedy}") from error
    if trainer.rank == 0:
        print(f"stage {trainer.stage}, from {args.init}")
        for name in new:
            print(f"  new: {name}")
        for name in weights.left_out(network, trainer.network):
            print(f"  left out: {name}")


def initial(path: Path) -> tuple[Config, torch.nn.Module]:
    """Configuration and network of a file to start from: kept by the exporter, of a run, or a
    released one, in its own or its small form."""
    if path.suffix == ".safetensors":
        return weights.load(path)
    content = checkpoint.load(path)
    if isinstance(content, dict) and checkpoint.RUN in content:
        return restored(content, content[checkpoint.RUN])
    state = checkpoint.entries(path, content)
    reduced = any(len(checkpoint.compare(state, name, True)) == 0 for name in structures.NETWORKS)
    config = structures.config(checkpoint.recognise(path, state, reduced), reduced)
    network = build(config.network)
    network.load_state_dict(checkpoint.values(path, state))
    return config, network


def run_plot(args: argparse.Namespace) -> None:
    try:
        plot.draw(plot.read(args.run_folder / "curves.csv"), args.out)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(args.out)


def run_export(args: argparse.Namespace) -> None:
    if args.random_weights:
        torch.manual_seed(0)
        config = configs.load(args.random_weights)
        network = build(config.network)
    elif args.checkpoint.suffix == ".safetensors":
        config, network = weights.load(args.checkpoint)
    else:
        config, network = restore(args.checkpoint)
    if args.weights:
        weights.round_weights(network)
    differences = export(config, network, args.tokenizer, args.out, args.version, args.precision)
    for name, outputs in differences.items():
        for output, difference in outputs.items():
            print(f"{name}.onnx {output}: differs from PyTorch by at most {difference:.2e}")
    if args.weights:
        weights.save(args.weights, config, network)
    total = sum(p.stat().st_size for p in args.out.iterdir())
    print(f"{args.out}: {total / 2**20:.1f} MiB")


def run_export_official(args: argparse.Namespace) -> None:
    try:
        if args.random_weights:
            source = official.from_random(args.random_weights, args.tokenizer, args.small)
        elif args.tokenizer is None:
            raise ValueError("--tokenizer: expected the folder of roberta-base's tokenizer files")
        else:
            source = official.from_checkpoint(
                args.checkpoint, args.tokenizer, args.weights, args.small
            )
        print(f"{args.checkpoint or 'random weights'}: {source.config.name}")
        checks = official.write(source, args.out, args.version, args.precision, args.answers)
        for name, difference in checks:
            print(f"{name}: differs from PyTorch by at most {difference:.2e}")
    except (OSError, ValueError, RuntimeError) as error:
        sys.exit(f"error: {error}")
    total = sum(p.stat().st_size for p in args.out.iterdir())
    print(f"{args.out}: {total / 2**20:.1f} MiB")


def run_templates(args: argparse.Namespace) -> None:
    templates.write(args.folder, args.structure or structures.NETWORKS, args.small)
    total = sum(p.stat().st_size for p in args.folder.rglob("*") if p.is_file())
    print(f"{args.folder}: {total / 2**20:.2f} MiB")


def run_reference(args: argparse.Namespace) -> None:
    config, network = weights.load(args.weights)
    tokenizer = tokenizers.load(args.bundle / "tokenizer.json")
    tensors = reference.outputs(config, network, tokenizer, args.folder)
    save_file(tensors, args.folder / "outputs.safetensors")
    (args.folder / "outputs.safetensors").chmod(0o644)
    print(f"{args.folder / 'outputs.safetensors'}: {len(tensors) // 2} cases")


def run_reference_official(args: argparse.Namespace) -> None:
    names = reference.write_official(args.folder, args.full)
    total = sum(p.stat().st_size for p in args.folder.rglob("*") if p.is_file())
    print(f"{args.folder}: {', '.join(names)}; {total / 2**20:.1f} MiB")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="mdetr_training", description=__doc__)
    commands = parser.add_subparsers(required=True)

    p = commands.add_parser("tokenizer", help="learn a tokenizer from data sets' captions")
    p.add_argument(
        "dataset",
        type=Path,
        nargs="+",
        help="folder made by `mdetr scenes dataset` or `mdetr scenes clips`",
    )
    p.add_argument("--vocab-size", type=int, default=600)
    p.add_argument(
        "--extend",
        type=Path,
        metavar="FILE",
        help="keep the words of this tokenizer.json; add those of the captions, in small letters",
    )
    p.add_argument("--out", type=Path, required=True, help="tokenizer.json to write")
    p.set_defaults(run=run_tokenizer)

    p = commands.add_parser("train", help="train, or resume where a run stopped")
    p.add_argument("config", type=Path, help="TOML with the network, data and stages")
    p.add_argument(
        "--tokenizer",
        type=Path,
        required=True,
        help="tokenizer.json that belongs to the weights, or the folder of roberta-base's files",
    )
    p.add_argument("--out", type=Path, required=True, help="folder of the run")
    p.add_argument(
        "--init",
        type=Path,
        metavar="FILE",
        help="weights kept by the exporter, a run's checkpoint or a released one",
    )
    p.add_argument(
        "--new-heads",
        action="store_true",
        help="with --init: heads that FILE lacks start anew, those that the network lacks are left "
        "out; both are listed",
    )
    p.add_argument(
        "--backbone",
        type=Path,
        metavar="FILE",
        help="without --init: the backbone's weights, as torchvision or timm has ImageNet's, or of "
        "another network",
    )
    p.add_argument(
        "--text-encoder",
        type=Path,
        metavar="FILE",
        help="without --init: the text encoder's weights, as Hugging Face has roberta-base's, or "
        "of another network",
    )
    p.add_argument(
        "--freeze",
        type=lambda text: text.split(","),
        default=[],
        metavar="PARTS",
        help="what stays as it is, in every stage: backbone,text",
    )
    p.add_argument(
        "--first-stage",
        type=int,
        default=0,
        metavar="N",
        help="with --init: leave out the N stages before",
    )
    p.add_argument(
        "--every", type=int, default=500, help="steps between evaluations and saves; 0: an epoch"
    )
    p.add_argument("--device", help="cpu, cuda or cuda:N; default: a GPU if there is one")
    p.add_argument("--minutes", type=float, default=float("inf"), help="stop after that long")
    p.set_defaults(run=run_train)

    p = commands.add_parser("plot", help="draw a run's losses and metrics; needs matplotlib")
    p.add_argument("run_folder", type=Path, metavar="RUN", help="folder of the run")
    p.add_argument("--out", type=Path, required=True, help="picture to write, .png or .svg")
    p.set_defaults(run=run_plot)

    p = commands.add_parser("export", help="write a bundle from a checkpoint")
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--checkpoint", type=Path, help="checkpoint.pth of a run, or weights.safetensors"
    )
    source.add_argument("--random-weights", type=Path, metavar="CONFIG")
    p.add_argument("--tokenizer", type=Path, required=True)
    p.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    p.add_argument("--version", default="0.1.0")
    p.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="round the weights to fp16 first and keep them here, to train on from there",
    )
    p.add_argument("--precision", choices=list(TOLERANCES), default="fp32")
    p.set_defaults(run=run_export)

    p = commands.add_parser("export-official", help="write a bundle from a released checkpoint")
    source = p.add_mutually_exclusive_group(required=True)
    source.add_argument("checkpoint", type=Path, nargs="?", help="released .pth file")
    source.add_argument(
        "--random-weights",
        choices=list(structures.NETWORKS),
        metavar="STRUCTURE",
        help=f"random weights instead of a checkpoint's: {', '.join(structures.NETWORKS)}",
    )
    p.add_argument(
        "--tokenizer",
        type=Path,
        metavar="PATH",
        help="roberta-base's tokenizer.json, or the folder of its tokenizer files; "
        "random weights need none",
    )
    p.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    p.add_argument("--precision", choices=list(TOLERANCES), default="fp32")
    p.add_argument(
        "--weights",
        choices=["ema", "model"],
        help="averaged weights or the last ones; default: averaged if the file has them",
    )
    p.add_argument("--answers", type=Path, metavar="FILE", help="GQA's gqa_answer2id_by_type.json")
    p.add_argument("--small", action="store_true", help="the structure's small form, for tests")
    p.add_argument("--version", default="0.1.0")
    p.set_defaults(run=run_export_official)

    p = commands.add_parser(
        "templates", help="write the graphs without weights that `mdetr import` fills"
    )
    p.add_argument("folder", type=Path)
    p.add_argument("--structure", action="append", choices=list(structures.NETWORKS))
    p.add_argument("--small", action="store_true", help="of the small forms, for tests")
    p.set_defaults(run=run_templates)

    p = commands.add_parser("reference", help="write a parity test's reference outputs")
    p.add_argument("folder", type=Path, help="folder with cases.json and its pictures")
    p.add_argument("--weights", type=Path, required=True, help="weights kept by the exporter")
    p.add_argument("--bundle", type=Path, required=True, help="the bundle made from them")
    p.set_defaults(run=run_reference)

    p = commands.add_parser(
        "reference-official",
        help="write small bundles of the released structures with reference outputs",
    )
    p.add_argument("folder", type=Path)
    p.add_argument("--full", action="store_true", help="every structure at its own size, 10 GB")
    p.set_defaults(run=run_reference_official)

    pictures.add_check(commands)

    args = parser.parse_args(arguments)
    args.run(args)


if __name__ == "__main__":
    main()
