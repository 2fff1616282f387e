"""A contact sheet: samples as they reach the network, with their boxes and words."""

import random
import textwrap
from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from tokenizers import Tokenizer

from ..boxes import cxcywh_to_xyxy
from ..config import Config
from . import transforms
from .detection import Absent
from .loader import Sample, Samples
from .source import Source

EXAMPLES = 12
COLUMNS = 4
CELL = 440, 330
"""Width and height of a picture on the sheet."""
LINES, LINE, WRAP = 4, 17, 62
"""Lines below a picture, their height, and the characters of each."""
COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#800000")


def chosen(sources: Sequence[Source], samples: Samples, seed: int) -> list[Sample]:
    """Twelve samples of the first epoch, spread over the sources; broken ones are left out."""
    rng = random.Random(seed)
    found: list[Sample] = []
    begins = samples.trained[:-1].tolist()
    queues = [
        [begin + i for i in rng.sample(range(len(s)), min(len(s), 4 * EXAMPLES))]
        for begin, s in zip(begins, sources, strict=True)
    ]
    while any(queues) and len(found) < EXAMPLES:
        for queue in queues:
            sample = None
            while queue and sample is None and len(found) < EXAMPLES:
                try:
                    sample = samples.sample(0, queue.pop())
                except (ValueError, OSError):
                    continue
            if sample is not None:
                found.append(sample)
    return found


def words(sample: Sample, tokenizer: Tokenizer) -> list[str]:
    """The words of each object, from its tokens."""
    offsets = tokenizer.encode(sample.caption.text).offsets
    found = []
    for tokens in sample.caption.tokens:
        parts, last = "", None
        for t in tokens:
            begin, end = offsets[t]
            gap = last is not None and begin > last
            parts += (" " if gap else "") + sample.caption.text[begin:end]
            last = end
        found.append(parts or "(no words)")
    return found


def cell(sample: Sample, tokenizer: Tokenizer) -> Image.Image:
    """One example: the picture, the boxes with their words, the caption."""
    font = ImageFont.load_default(13)
    image = Image.fromarray(sample.pixels.numpy())
    scale = min(CELL[0] / image.width, CELL[1] / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    whole = Image.new("RGB", (CELL[0] + 8, CELL[1] + LINES * LINE + 12), "white")
    whole.paste(image.resize(size, Image.Resampling.BILINEAR), (4, 4))
    draw = ImageDraw.Draw(whole)
    named = words(sample, tokenizer)
    colour = {w: COLOURS[i % len(COLOURS)] for i, w in enumerate(dict.fromkeys(named))}
    corners = cxcywh_to_xyxy(sample.boxes) * torch.tensor([*size, *size]) + 4
    for box, word in zip(corners.tolist(), named, strict=True):
        draw.rectangle(box, outline=colour[word], width=2)
    for box, word in zip(corners.tolist(), named, strict=True):
        label = textwrap.shorten(word, 40, placeholder="...")
        at = (
            max(min(box[0], whole.width - 4 - draw.textlength(label, font)), 4),
            max(box[1] - 14, 4),
        )
        left, top, right, bottom = draw.textbbox(at, label, font=font)
        draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), fill=colour[word])
        draw.text(at, label, fill="white", font=font)
    about = f"{sample.caption.kind}, {image.width} x {image.height}, {len(sample.boxes)} objects"
    text = textwrap.wrap(sample.caption.text, WRAP, max_lines=LINES - 1, placeholder=" ...")
    lines = [about, *text]
    for i, line in enumerate(lines):
        fill = "#606060" if i == 0 else "black"
        draw.text((6, CELL[1] + 8 + i * LINE), line, fill=fill, font=font)
    return whole


def sheet(
    sources: Sequence[Source], tokenizer: Tokenizer, config: Config, seed: int = 0
) -> Image.Image:
    """Twelve examples after augmentation. Raises ValueError if not one can be read."""
    sizes = transforms.for_network(transforms.GROUNDING, config)
    sources = [s for s in sources if not isinstance(s, Absent) or s.known]
    examples = chosen(sources, Samples(sources, tokenizer, config, sizes), seed)
    if not examples:
        raise ValueError("sheet: expected examples, found none that can be read")
    cells = [cell(sample, tokenizer) for sample in examples]
    width, height = cells[0].size
    rows = -(-len(cells) // COLUMNS)
    whole = Image.new("RGB", (COLUMNS * width, rows * height), "white")
    for i, one in enumerate(cells):
        whole.paste(one, (i % COLUMNS * width, i // COLUMNS * height))
    return whole
