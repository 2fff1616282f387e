"""Raw measurements to figures, figures to Markdown. Nothing here measures."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .contestants import CONTESTANTS, INT8, MASKS, ORT, PACKED, PLAIN, TORCH, TRACT

QUERIES = (1, 2, 4, 8, 16)
ENGINES = {ORT: "ONNX Runtime", TRACT: "tract"}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least that share of all values do not exceed (nearest rank)."""
    if not values:
        raise ValueError("a percentile needs a value at least, found none")
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def table(head: Sequence[str], rows: Iterable[Sequence[object]], rule: str = "--:") -> str:
    """A Markdown table; columns after the first have that rule, right-aligned unless told."""
    lines = [f"| {' | '.join(head)} |", "|---|" + f"{rule}|" * (len(head) - 1)]
    lines += [f"| {' | '.join(map(str, row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def short(value: float) -> str:
    """Three significant digits, or all before the point, without an exponent."""
    rounded = float(f"{value:.3g}")
    digits = 2 - math.floor(math.log10(abs(rounded))) if rounded else 0
    return f"{rounded:,.{max(digits, 0)}f}"


def mebibytes(size: float) -> str:
    """A size as text."""
    return f"{size / 2**20:,.0f}"


@dataclass(frozen=True)
class Figures:
    """One contestant on one subject with one number of queries."""

    frames: int
    per_second: float
    p50: float
    p95: float
    p99: float
    cpu: float
    """CPU time of a frame in milliseconds."""
    peak: float
    """Bytes."""

    @classmethod
    def of(cls, turns: Sequence[dict]) -> "Figures":
        """Of all turns together."""
        latencies = [latency for turn in turns for latency in turn["latencies_ms"]]
        frames = len(latencies)
        return cls(
            frames=frames,
            per_second=1e3 * frames / sum(turn["wall_ms"] for turn in turns),
            p50=percentile(latencies, 0.5),
            p95=percentile(latencies, 0.95),
            p99=percentile(latencies, 0.99),
            cpu=sum(turn["cpu_ms"] for turn in turns) / frames,
            peak=max(turn["peak_bytes"] for turn in turns),
        )


Grid = dict[tuple[str, str, int], Figures]
"""By subject, contestant and number of queries."""


def grid_table(grid: Grid, subject: str) -> str:
    """All figures on one subject."""
    rows = []
    for count in QUERIES:
        for contestant in CONTESTANTS:
            f = grid.get((subject, contestant.name, count))
            if f:
                latencies = (short(v) for v in (f.p50, f.p95, f.p99, f.cpu))
                ratio = f.p50 / grid[subject, ORT, count].p50
                cells = (short(f.per_second), *latencies, mebibytes(f.peak), f.frames)
                rows.append((contestant.title, count, *cells, f"{ratio:.2f}"))
    head = "contestant,queries,frames/s,p50 ms,p95 ms,p99 ms,CPU ms,peak MiB,frames,p50 against "
    return table((head + ENGINES[ORT]).split(","), rows)


def element_table(rounds: dict[str, list[dict]]) -> str:
    """What the element costs, by what it was given."""
    rows = []
    for name, found in rounds.items():
        frames = sum(r["frames"] for r in found)
        inferred = sum(r["inferred"] for r in found)

        def mean(key: str, count: int, found: list[dict] = found) -> str:
            return f"{sum(r[key] for r in found) / max(count, 1):.3f}"

        cells = (f"{overhead(found):.3f}", mean("preprocess_ms", inferred))
        cells += (mean("graphs_ms", inferred), sum(r["copied"] for r in found), frames, inferred)
        rows.append((name, *cells))
    head = "frames,CPU ms a frame,ms of resizing and normalising,ms of idle graphs"
    return table((head + ",frames copied,frames seen,inferred").split(","), rows)


def overhead(rounds: Sequence[dict]) -> float:
    """CPU milliseconds that the element adds to a frame: the median of the rounds."""
    added = [(r["with_cpu_ms"] - r["without_cpu_ms"]) / r["frames"] for r in rounds]
    return percentile(added, 0.5)


def unfairness(shares: Sequence[int]) -> float:
    """How much less than the luckiest stream the unluckiest gets. One inference is not counted:
    it may have ended just before or after the count."""
    return max(max(shares) - min(shares) - 1, 0) / max(shares)


def streams_table(runs: dict[str, dict]) -> str:
    """Live streams, by engine."""
    rows = []
    for name, r in runs.items():
        passages, lateness = r["passages_ms"], r["lateness_ms"]
        shares = r["inferred"]
        times = [f"{percentile(passages, p):.3f}" for p in (0.5, 0.99)] + [f"{max(passages):.1f}"]
        times += [f"{percentile(lateness, p):.1f}" for p in (0.5, 0.99)]
        rows.append(
            (
                name,
                f"{len(passages)} of {r['fed']}",
                *times,
                f"{r['inference_ms']:.1f}",
                f"{1e3 * sum(shares) / r['wall_ms']:.1f}",
                f"{min(shares)} to {max(shares)}",
                f"{100 * unfairness(shares):.0f} %",
                mebibytes(r["peak_bytes"]),
            )
        )
    head = "engine,frames out,in the element p50 ms,p99 ms,longest ms,behind the camera p50 ms"
    head += ",p99 ms,an inference ms,inferences/s,inferences of a stream,unfairness,peak MiB"
    return table(head.split(","), rows)


DAY = 86_400
"""Frames of a camera in a day, one a second."""


def of_a_day(run: dict, milliseconds: float) -> float:
    """Seconds for a day's frames, of the milliseconds for those that were measured."""
    return milliseconds / 1e3 * DAY / run["frames"]


def past_table(runs: dict[str, dict]) -> str:
    """A day of a camera that is kept and asked, by precision."""
    rows = []
    for precision, r in runs.items():
        fine, moments = r["coarse_to_fine"], r["moments"]
        rows.append(
            (
                precision,
                f"{r['frames']:,}",
                f"{r['bytes'] / r['frames']:,.0f}",
                f"{r['bytes'] / r['frames'] * DAY / 1e9:.2f}",
                f"{of_a_day(r, r['exhaustive']['wall_ms']):.0f}",
                f"{of_a_day(r, r['exhaustive']['cpu_ms']):.0f}",
                f"{of_a_day(r, r['question']['wall_ms']):.0f}",
                f"{fine['first_ms'] / 1e3:.2f}",
                f"{fine['cost']['wall_ms'] / 1e3:.1f} ({fine['asked']:,} frames)",
                f"{moments['cost']['wall_ms'] / 1e3:.1f} ({moments['asked']:,} frames)",
                mebibytes(r["exhaustive"]["peak_bytes"]),
            )
        )
    head = "precision,frames measured,bytes a frame,GB a day,a day exhaustively s,CPU s"
    head += ",a question s,first found s,coarse to fine s,moments s,peak MiB"
    return table(head.split(","), rows)


def past_of_others(grid: Grid, titles: dict[str, str]) -> str:
    """A day asked exhaustively on two cores, computed from what a further query costs a frame."""
    rows = []
    for name, title in titles.items():
        few, many = (grid[name, ORT, count].cpu for count in (1, 8))
        query = (many - few) / 7
        rows.append((title, f"{query:.1f}", f"{query / 1e3 * DAY / 2 / 60:.0f}"))
    return table(("model", "a query ms", "a day on two cores min"), rows)


def first_table(runs: dict[tuple[str, str], list[dict]]) -> str:
    """Time to the first detection, by engine and state of the caches."""
    rows = []
    for (engine, caches), found in runs.items():
        seconds = [r["seconds"] for r in found]
        times = (percentile(seconds, 0.5), min(seconds), max(seconds))
        peak = mebibytes(max(r["peak_bytes"] for r in found))
        rows.append((f"{engine}, {caches}", *(f"{t:.2f}" for t in times), peak, len(found)))
    head = "engine and caches,median s,least s,most s,peak MiB,starts"
    return table(head.split(","), rows)


@dataclass(frozen=True)
class Target:
    """One line of the table of targets."""

    name: str
    aim: str
    measured: str
    met: bool | str | None
    """Words if it depends; None if it was not measured."""


def targets_table(targets: Iterable[Target]) -> str:
    """Target, measured, met or not."""
    words = {True: "yes", False: "no", None: "not measured"}
    rows = ((t.name, t.aim, t.measured, words.get(t.met, t.met)) for t in targets)
    return table(("", "target", "measured", "met"), rows, "---")


@dataclass(frozen=True)
class Ratio:
    """How many times what one engine took another takes, by median time and by CPU time."""

    time: float
    cpu: float

    @classmethod
    def of(cls, a: Figures, b: Figures) -> "Ratio":
        return cls(a.p50 / b.p50, a.cpu / b.cpu)


def by_engine(ratios: dict[str, Ratio]) -> str:
    """Ratios as text. CPU times suffer less from whatever else the machine does."""
    times = ", ".join(f"{r.time:.2f} ({ENGINES[name]})" for name, r in ratios.items())
    return f"{times}; by CPU time {', '.join(f'{r.cpu:.2f}' for r in ratios.values())}"


def grid_targets(grid: Grid) -> list[Target]:
    """Those about engines; the better one counts."""

    def most(found: dict[str, Ratio]) -> float:
        return max(ratio.time for ratio in found.values())

    growth = {e: Ratio.of(grid["resnet101", e, 8], grid["resnet101", e, 1]) for e in ENGINES}
    name = "8 queries against 1, per frame, ResNet-101"
    met = min(ratio.time for ratio in growth.values()) <= 2.0
    targets = [Target(name, "<= 2.0", by_engine(growth), met)]
    packed = grid.get(("resnet101", PACKED, 8))
    ratio = packed and Ratio.of(packed, grid["resnet101", ORT, 1])
    measured = f"{ratio.time:.2f}; by CPU time {ratio.cpu:.2f}" if ratio else "-"
    targets.append(Target("the same, packed", "<= 1.3", measured, ratio and ratio.time <= 1.3))
    for count, aim in ((1, 3.0), (8, 8.0)):
        torch = grid["efficientnetB3", TORCH, count]
        found = {e: Ratio.of(torch, grid["efficientnetB3", e, count]) for e in ENGINES}
        name = f"ours against PyTorch per (frame, query), EfficientNet-B3, queries: {count}"
        met, text = most(found) >= aim, by_engine(found)
        rounded = grid.get(("efficientnetB3", INT8, count))
        if rounded:
            ratio = Ratio.of(torch, rounded)
            text += f"; in int8 {ratio.time:.2f}, by CPU time {ratio.cpu:.2f} (ONNX Runtime)"
            met = met or (ratio.time >= aim and "in int8")
        targets.append(Target(name, f">= {aim:.0f}x (best engine)", text, met))
    for subject in dict.fromkeys(key[0] for key in grid):
        plain = grid[subject, PLAIN, 1]
        found = {e: Ratio.of(plain, grid[subject, e, 1]) for e in ENGINES}
        name = f"ours against plain onnxruntime with the same split, 1 query, {subject}"
        met = most(found) >= 1.0
        targets.append(Target(name, ">= 1.0x (best engine)", by_engine(found), met))
    return [*targets, rate_target(grid)]


def rate_target(grid: Grid) -> Target:
    """The bundled model."""
    rates = {e: grid["tabletop", e, 1].per_second for e in ENGINES}
    text = ", ".join(f"{short(v)} ({ENGINES[e]})" for e, v in rates.items())
    masks = grid.get(("tabletop", MASKS, 1))
    if masks:
        text += f"; with masks {short(masks.per_second)}"
    rounded = grid.get(("tabletop", INT8, 1))
    if rounded:
        text += f"; in int8 {short(rounded.per_second)}"
    name = "bundled model, 640 x 480 input, one core, frames/s"
    return Target(name, ">= 60", text, max(rates.values()) >= 60)


def element_target(rounds: dict[str, list[dict]]) -> Target:
    """The costliest of what the element was given."""
    costs = {name: overhead(found) for name, found in rounds.items()}
    worst = max(costs, key=costs.get)
    copied = sum(r["copied"] for found in rounds.values() for r in found)
    return Target(
        "element outside the engine, 1080p, CPU",
        "< 2 ms, no pixel copies",
        f"{costs[worst]:.2f} ms ({worst}), {copied} copied",
        costs[worst] < 2 and not copied,
    )


def streams_target(runs: dict[str, dict]) -> Target:
    """The better engine. A frame that waits for an inference is held for half of one on average,
    so none was delayed by one if the longest passage is shorter than that."""

    def met(r: dict) -> bool:
        undelayed = max(r["passages_ms"]) < r["inference_ms"] / 2
        whole = len(r["passages_ms"]) == r["fed"]
        return undelayed and whole and unfairness(r["inferred"]) <= 0.1

    text = "; ".join(
        f"longest {max(r['passages_ms']):.1f} ms (an inference {r['inference_ms']:.0f} ms), "
        f"{100 * unfairness(r['inferred']):.0f} % ({name})"
        for name, r in runs.items()
    )
    return Target(
        "16 live streams of the bundled model on 2 cores",
        "no frame delayed by inference, fair to 10 %",
        text,
        any(map(met, runs.values())),
    )


def past_target(runs: dict[str, dict]) -> Target:
    """The slower precision."""
    days = {p: of_a_day(r, r["exhaustive"]["wall_ms"]) for p, r in runs.items()}
    firsts = {p: r["coarse_to_fine"]["first_ms"] / 1e3 for p, r in runs.items()}
    measured = min(r["frames"] for r in runs.values())
    text = "; ".join(f"{days[p]:.0f} s, first {firsts[p]:.2f} s ({p})" for p in runs)
    if measured < DAY:
        text += f"; extrapolated from {measured:,} frames, the first found among those"
    return Target(
        "a day of a camera asked on 2 cores, bundled model, ONNX Runtime",
        "< 360 s exhaustively, first found < 10 s",
        text,
        max(days.values()) < 360 and max(firsts.values()) < 10,
    )


def first_target(runs: dict[tuple[str, str], list[dict]]) -> Target:
    """Medians of the better engine, caches warm."""
    warm = {engine: found for (engine, caches), found in runs.items() if caches == "warm"}
    figures = {
        engine: (
            percentile([r["seconds"] for r in found], 0.5),
            max(r["peak_bytes"] for r in found) / 1e6,
        )
        for engine, found in warm.items()
    }
    return Target(
        "first detection, warm caches, bundled",
        "< 1 s, < 200 MB",
        "; ".join(f"{s:.2f} s, {mb:.0f} MB ({engine})" for engine, (s, mb) in figures.items()),
        any(s < 1 and mb < 200 for s, mb in figures.values()),
    )


def between(text: str, begin: str, end: str, content: str) -> str:
    """`text` with `content` between its markers."""
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(begin) > text.index(end):
        raise ValueError(f"expected {begin.strip()!r} before {end.strip()!r}, each once")
    head, rest = text.split(begin)
    return head + begin + content + end + rest.split(end)[1]
