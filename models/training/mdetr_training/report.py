"""A report on a run, in one HTML file: curves, phrases, false alarms, and the worst pictures."""

import base64
import html
import io
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from . import plot
from .config import Config
from .evaluate import MIN_IOU, Outcome, metrics, totals
from .pictures.read import read_picture

WORST = 24
WIDTH = 360
"""Of a picture in the report, in pixels."""
MOST_PHRASES = 200
"""Lines of the table by phrase; the rest is counted."""
SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
"""Of captions of nothing that get a box, in the table of thresholds."""
TRUTH, RIGHT, WRONG = "#1e9e4a", "#2563eb", "#dc2626"


def write(path: Path, config: Config, curves: Path, found: Sequence[Outcome]) -> None:
    """Write the report of a run; `found` are the outcomes on its validation data."""
    threshold = config.bundle.score_threshold
    parts = [
        f"<h1>{html.escape(config.name)}</h1>",
        summary(found, threshold),
        "<h2>Curves</h2>",
        drawn_curves(curves),
        "<h2>By phrase</h2>",
        phrases(found, threshold),
        "<h2>False alarms</h2>",
        thresholds(found, threshold),
        "<h2>The worst pictures</h2>",
        worst(found, threshold),
    ]
    title = html.escape(f"{config.name}: training")
    text = f"<!doctype html><meta charset=utf-8><title>{title}</title>{STYLE}" + "\n".join(parts)
    partial = path.with_suffix(".partial")
    partial.write_text(text + "\n")
    partial.replace(path)


STYLE = """<style>
body { font: 15px system-ui, sans-serif; margin: 2rem auto; max-width: 1160px; color: #222 }
table { border-collapse: collapse } td, th { padding: .2rem .8rem; text-align: right }
td:first-child, th:first-child { text-align: left } tr:nth-child(even) { background: #f4f4f4 }
.pictures { display: grid; grid-template-columns: repeat(3, 1fr); gap: 1rem }
figure { margin: 0 } figure img { width: 100% } figcaption { font-size: 13px }
</style>
"""


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows under a head, as HTML."""

    def line(cells: Sequence[object], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(c))}</{tag}>" for c in cells) + "</tr>"

    return "<table>" + line(head, "th") + "".join(line(row, "td") for row in rows) + "</table>"


def percent(part: float, whole: float) -> str:
    """A share, or a dash where there is nothing to share."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def summary(found: Sequence[Outcome], threshold: float) -> str:
    """What was evaluated, and how well."""
    pictures = len({getattr(o.caption, "picture", id(o)) for o in found})
    rows = [[name, f"{value:.3f}"] for name, value in metrics(found, threshold).items()]
    about = (
        f"<p>{len(found)} captions on {pictures} pictures of the validation data, with the "
        f"averaged weights; a box counts with a score above {threshold:g}, and is right where it "
        "overlaps its object by half, as intersection over union.</p>"
    )
    return about + table(["", "value"], rows)


def drawn_curves(path: Path) -> str:
    """The curves as a picture in the page."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "curves.svg"
        try:
            plot.draw(plot.read(path), picture)
        except (SystemExit, OSError, ValueError) as error:
            return f"<p>No curves: {html.escape(str(error))}</p>"
        data = base64.b64encode(picture.read_bytes()).decode()
    return f'<img style="width:100%" alt="curves" src="data:image/svg+xml;base64,{data}">'


def phrases(found: Sequence[Outcome], threshold: float) -> str:
    """How well each phrase is found, the least well first."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
    for outcome in found:
        for p, text in enumerate(texts(outcome)):
            numbers = (1, int(outcome.best(p)), *outcome.counts(p, threshold))
            counts[text] = [a + b for a, b in zip(counts[text], numbers, strict=True)]
    rows = [
        (text, asked, percent(hits, asked), percent(right, objects), percent(right, boxes), objects)
        for text, (asked, hits, right, boxes, objects) in counts.items()
    ]
    rows.sort(key=lambda row: counts[row[0]][1] / counts[row[0]][0])
    head = ["phrase", "asked", "R@1", "objects found", "boxes right", "objects"]
    more = len(rows) - MOST_PHRASES
    rest = f"<p>and {more} phrases more, which are found better</p>" if more > 0 else ""
    return table(head, rows[:MOST_PHRASES]) + rest


def texts(outcome: Outcome) -> list[str]:
    """The words of each phrase of a caption."""
    caption = outcome.caption
    spans = caption.spans.phrases if caption.spans else []
    return [" … ".join(caption.text[b:e] for b, e in phrase) for phrase in spans]


def thresholds(found: Sequence[Outcome], chosen: float) -> str:
    """What score thresholds cost: false alarms against objects found."""
    highest = sorted((o.highest for o in found if not o.caption.phrases), reverse=True)
    if not highest:
        return "<p>No caption of the validation data names nothing.</p>"
    wanted = {min(0.999, highest[int(s * len(highest))]) for s in SHARES}
    rows = []
    for threshold in sorted(wanted | {chosen}, reverse=True):
        alarms = sum(score > threshold for score in highest)
        right, boxes, objects = totals(found, threshold)
        mark = " (the bundle's)" if threshold == chosen else ""
        rows.append(
            (
                f"{threshold:.3f}{mark}",
                percent(alarms, len(highest)),
                percent(right, objects),
                percent(right, boxes),
            )
        )
    head = ["score above", "captions of nothing with a box", "objects found", "boxes right"]
    return table(head, rows)


def badness(outcome: Outcome, threshold: float) -> float:
    """How much a caption went wrong: objects that were missed and boxes that are wrong."""
    if not outcome.caption.phrases:
        return outcome.highest if outcome.highest > threshold else 0.0
    right, boxes, objects = totals([outcome], threshold)
    return float(boxes - right + objects - right)


def worst(found: Sequence[Outcome], threshold: float) -> str:
    """The pictures that went wrong most, with what is there and what was found."""
    bad = [(badness(o, threshold), i) for i, o in enumerate(found)]
    bad = sorted((item for item in bad if item[0] > 0), key=lambda item: (-item[0], item[1]))
    if not bad:
        return "<p>Everything was found, and nothing else.</p>"
    figures = []
    for value, i in bad[:WORST]:
        caption = html.escape(found[i].caption.text)
        data = base64.b64encode(drawn(found[i], threshold)).decode()
        wrong = f"{value:.0f} wrong" if found[i].caption.phrases else "nothing is there"
        figures.append(
            f'<figure><img alt="{caption}" src="data:image/jpeg;base64,{data}">'
            f"<figcaption>{caption}: {wrong}</figcaption></figure>"
        )
    colours = (
        f'<span style="color:{TRUTH}">objects</span>, <span style="color:{RIGHT}">boxes that are '
        f'right</span>, <span style="color:{WRONG}">boxes that are wrong</span>'
    )
    return f"<p>{colours}</p><div class=pictures>" + "".join(figures) + "</div>"


def drawn(outcome: Outcome, threshold: float) -> bytes:
    """A picture with the truth and the boxes above the threshold, as a JPEG."""
    picture = read_picture(outcome.caption.picture)
    size = WIDTH, max(1, round(picture.height * WIDTH / picture.width))
    picture = picture.resize(size, Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(picture)
    scale = torch.tensor([*size, *size])
    for box in (outcome.truth * scale).tolist():
        draw.rectangle(box, outline=TRUTH, width=3)
    for query in found_queries(outcome, threshold):
        colour = RIGHT if on_truth(outcome, query) else WRONG
        x0, y0, x1, y1 = (outcome.boxes[query] * scale).tolist()
        x0, x1, y0, y1 = min(x0, x1), max(x0, x1), min(y0, y1), max(y0, y1)
        draw.rectangle((x0, y0, x1, y1), outline=colour, width=2)
        draw.text((x0 + 3, max(0, y0 + 1)), f"{float(outcome.scores[query]):.2f}", fill=colour)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return file.getvalue()


def found_queries(outcome: Outcome, threshold: float) -> list[int]:
    """Object queries whose boxes are shown."""
    if outcome.caption.phrases:
        return outcome.found(threshold).any(0).nonzero()[:, 0].tolist()
    return (outcome.scores > threshold).nonzero()[:, 0].tolist()


def on_truth(outcome: Outcome, query: int) -> bool:
    """Whether a box is on an object."""
    return bool((outcome.overlaps(query) >= MIN_IOU).any())
