"""The command `check`."""

import argparse
import sys
from pathlib import Path

from .. import tokenizer as tokenizers
from ..config import Config, SourceConfig
from . import sheet
from .check import Check

UNCOUNTED = "tokens of captions were not counted: that needs --tokenizer"


def add_check(commands: argparse._SubParsersAction) -> None:
    """Add the command to the command line."""
    p = commands.add_parser("check", help="say what is in data sets, and what is wrong with them")
    p.add_argument(
        "data",
        nargs="+",
        metavar="DATA",
        help="annotation file (MDETR's, COCO's, CLEVR's questions), YOLO's data.yaml, or a folder "
        "of pictures that show nothing",
    )
    p.add_argument("--val", nargs="+", default=[], metavar="DATA", help="the validation's")
    p.add_argument(
        "--pictures",
        action="append",
        default=[],
        metavar="FOLDER",
        help="where the pictures are, if not beside DATA: once for all of them, once for each in "
        "their order, or SOURCE=FOLDER for each `data_source` of mixed annotations",
    )
    p.add_argument("--split", default="train", help="of a data.yaml; of --val it is val")
    p.add_argument("--answers", default="", metavar="FILE", help="gqa_answer2id_by_type.json")
    p.add_argument(
        "--attributes",
        nargs="+",
        default=[],
        metavar="WORD",
        help="answers about attributes that the network can give, if not CLEVR's own",
    )
    p.add_argument("--masks", action="store_true", help="for training masks")
    p.add_argument("--quick", action="store_true", help="look at pictures' headers only")
    p.add_argument("--tokenizer", type=Path, metavar="FILE", help="tokenizer.json")
    p.add_argument("--sheet", type=Path, metavar="PICTURE", help="draw twelve examples")
    p.set_defaults(run=run_check)


def run_check(args: argparse.Namespace) -> None:
    """Print a report; exit with 1 where training would fail."""
    try:
        train, val = configs(args)
        tokenizer = tokenizers.load(args.tokenizer) if args.tokenizer else None
        check = Check(train, val, tokenizer, args.attributes, args.masks)
        for line in check.run(args.quick):
            print(line)
        for line in check.found.lines():
            print(line)
        if tokenizer is None:
            print(UNCOUNTED)
        if args.sheet:
            draw(check, args)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    if check.found.fatal:
        sys.exit(1)
    print("nothing that training would fail at")


def draw(check: Check, args: argparse.Namespace) -> None:
    """Write the contact sheet."""
    tokenizer = check.tokenizer or tokenizers.byte_level()
    picture = sheet.sheet([*check.train, *check.val], tokenizer, Config())
    picture.save(args.sheet)
    print(args.sheet)


def configs(args: argparse.Namespace) -> tuple[list[SourceConfig], list[SourceConfig]]:
    """The data sets that are named, with their pictures."""
    count = len(args.data) + len(args.val)
    table = dict(p.split("=", 1) for p in args.pictures if "=" in p and not Path(p).exists())
    plain = [p for p in args.pictures if "=" not in p or Path(p).exists()]
    if table and plain:
        raise ValueError("--pictures: expected either folders or SOURCE=FOLDER, found both")
    if len(plain) not in (0, 1, count):
        raise ValueError(
            f"--pictures: expected one folder, or one for each of {count} DATA, found {len(plain)}"
        )
    folders = [table or ""] * count if not plain else plain * (count // len(plain))
    found = [
        SourceConfig(
            annotations=data,
            pictures=folder,
            split=args.split if i < len(args.data) else "val",
            answers=args.answers,
        )
        for i, (data, folder) in enumerate(zip([*args.data, *args.val], folders, strict=True))
    ]
    return found[: len(args.data)], found[len(args.data) :]
