"""Measures everything and writes docs/src/benchmarks.md; `make bench` calls it.

Finished measurements are kept and used again as long as what they depend on has not changed.
"""

import argparse
import contextlib
import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tqdm import tqdm

from . import bundles, contestants, idle, machine, plot, tables
from .bundles import SIZE, Subject
from .contestants import THREADS, Contestant, MeasureError, Process
from .first import Starts
from .machine import ROOT
from .store import Store

BEGIN, END = "<!-- make bench: begin -->\n", "<!-- make bench: end -->\n"
HD = "1920x1080"
ELEMENT = (
    ("NV12", "every-frame"),
    ("I420", "every-frame"),
    ("YUY2", "every-frame"),
    ("BGRx", "every-frame"),
    ("RGB", "every-frame"),
    ("NV12", "live"),
)
"""What the element is given: formats, and the mode it is in."""
LIVE_RATE = 30
STREAMS, STREAM_RATE = 16, 15
ENGINES = ("onnxruntime", "tract")
PRECISIONS = ("fp16", "int8")


@dataclass(frozen=True)
class Plan:
    """How long to measure."""

    turn: float
    """Seconds of a contestant's turn; one frame if that takes longer."""
    budget: float
    """Seconds of all turns of a contestant with one number of queries ..."""
    least: int
    """... unless it has not seen so many frames by then ..."""
    most: float
    """... but no more seconds than that, if one frame is done."""
    element_frames: int
    element_rounds: int
    stream_seconds: int
    starts: int
    past_frames: int


FULL = Plan(2.0, 10.0, 5, 60.0, 600, 5, 30, 10, tables.DAY)
QUICK = Plan(0.6, 1.2, 2, 8.0, 150, 3, 10, 3, 4000)


class Bench:
    """One run."""

    def __init__(self, args: argparse.Namespace):
        self.plan = QUICK if args.quick else FULL
        self.program = args.target / "mdetr-bench"
        self.plugin = args.target / "libgstmdetr.so"
        self.out = args.out
        self.store = Store(args.out / ("quick" if args.quick else "full"), args.force)
        available = sorted(os.sched_getaffinity(0))
        self.one, self.two = {available[-1]}, set(available[:2])
        folder = Path(importlib.util.find_spec("onnxruntime").origin).parent
        library = next((folder / "capi").glob("libonnxruntime.so*"))
        self.env = contestants.environment(library)
        self.idle = self.out / "bundles/idle"
        self.subjects = bundles.subjects(self.out)

    def prepare(self) -> None:
        """Everything that is measured with."""
        self.bundles = {
            subject.name: [
                bundles.make(subject, int8)
                for int8 in sorted({c.int8 for c in contestants.of(subject)})
            ]
            for subject in self.subjects
        }
        idle.make(self.idle)
        self.frames, self.queries = bundles.write_inputs(self.program, self.out)
        sources = Path(__file__).parent.glob("*.py")
        self.key = {
            "plan": dataclasses.asdict(self.plan),
            "machine": machine.describe(),
            "libraries": machine.libraries(),
            "programs": bundles.digest(self.program, self.plugin),
            "scripts": bundles.digest(*(p for p in sorted(sources) if measures(p))),
            "frames": bundles.digest(self.frames, self.queries),
        }

    def run(self) -> None:
        """Measure, and show how far it is."""
        units = (
            len(self.subjects) * len(tables.QUERIES)
            + len(ELEMENT)
            + 3 * len(ENGINES)
            + len(PRECISIONS)
        )
        self.prepare()
        with tqdm(total=units, unit="step", disable=None) as self.progress:
            self.grid: tables.Grid = {}
            self.versions: dict[str, str] = {}
            for subject in self.subjects:
                self.measure_grid(subject)
            self.element = {
                f"{mode}, {fmt}": self.measure_element(fmt, mode) for fmt, mode in ELEMENT
            }
            self.streams = {engine: self.measure_streams(engine) for engine in ENGINES}
            self.first = self.measure_first()
            self.past = {precision: self.measure_past(precision) for precision in PRECISIONS}

    def step(self, name: str) -> None:
        """Tell what is done next."""
        if self.progress.disable:
            print(f"bench: {self.progress.n + 1}/{self.progress.total} {name}", flush=True)
        self.progress.set_description(name)

    def done(self) -> None:
        self.progress.n += 1
        self.progress.refresh()

    def measure_grid(self, subject: Subject) -> None:
        """All contestants on a subject, taking turns."""
        taking_part = contestants.of(subject)
        manifests = [folder / "model.toml" for folder in self.bundles[subject.name]]
        key = self.key | {"bundle": bundles.digest(*manifests)}
        with contextlib.ExitStack() as stack:
            running: dict[str, Process] = {}
            for count in tables.QUERIES:
                self.step(f"{subject.name}, {count} queries")

                def measure(count: int = count) -> dict:
                    warm = 0 if running else 1
                    if not running:
                        for contestant in taking_part:
                            running[contestant.name] = self.start(contestant, subject, stack)
                    return {
                        "versions": dict(self.versions),
                        "turns": self.turns(running, count, warm),
                    }

                found = self.store.get(f"{subject.name}-{count}", key, measure)
                self.versions |= found["versions"]
                for name, turns in found["turns"].items():
                    self.grid[subject.name, name, count] = tables.Figures.of(turns)
                self.done()

    def start(
        self, contestant: Contestant, subject: Subject, stack: contextlib.ExitStack
    ) -> Process:
        """A contestant that is ready."""
        command = contestants.command(contestant, subject, self.program, self.frames, self.queries)
        process = stack.enter_context(Process(command, self.one, self.env))
        self.versions[contestant.name] = process.hear()["version"]
        return process

    def turns(self, running: dict[str, Process], count: int, warm: int) -> dict[str, list[dict]]:
        """Replies of each contestant, until all have had enough."""
        plan, order = self.plan, list(running)
        replies = {name: [] for name in order}
        while order:
            for name in list(order):
                first = not replies[name]
                reply = running[name].ask(
                    queries=count, warm=warm if first else 0, seconds=plan.turn
                )
                replies[name].append(reply)
                spent = sum(r["wall_ms"] for r in replies[name]) / 1e3
                frames = sum(len(r["latencies_ms"]) for r in replies[name])
                if spent >= plan.most or (spent >= plan.budget and frames >= plan.least):
                    order.remove(name)
            order = order[1:] + order[:1]
        return replies

    def ours(self, *arguments: object, cores: set[int]) -> dict:
        """What `mdetr-bench` prints."""
        command = [str(self.program), *map(str, arguments)]
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            text=True,
            env=self.env,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )
        if done.returncode:
            raise MeasureError(f"{' '.join(command)} ended with {done.returncode}")
        return json.loads(done.stdout)

    def measure_element(self, fmt: str, mode: str) -> list[dict]:
        """Rounds with and without the element."""
        self.step(f"element, {mode}, {fmt}")
        plan = self.plan
        options = ["--model", self.idle, "--engine", "tract", "--mode", mode, "--format", fmt]
        options += ["--size", HD, "--frames", plan.element_frames, "--rounds", plan.element_rounds]
        options += ["--rate", LIVE_RATE if mode == "live" else 0]
        found = self.store.get(
            f"element-{mode}-{fmt}",
            self.key | {"bundle": bundles.digest(self.idle / "model.toml")},
            lambda: self.ours("element", *options, cores=self.one),
        )
        self.done()
        return found["rounds"]

    def measure_streams(self, engine: str) -> dict:
        """Live streams of the bundled model."""
        self.step(f"{STREAMS} streams, {engine}")
        width, height = SIZE
        options = ["--model", self.subjects[0].folder, "--engine", engine, "--frames", self.frames]
        options += ["--size", f"{width}x{height}", "--streams", STREAMS, "--rate", STREAM_RATE]
        options += ["--seconds", self.plan.stream_seconds]
        key = self.key | {"bundle": bundles.digest(self.subjects[0].folder / "model.toml")}
        found = self.store.get(
            f"streams-{engine}", key, lambda: self.ours("streams", *options, cores=self.two)
        )
        self.done()
        return found

    def measure_past(self, precision: str) -> dict:
        """A day of a camera, kept and asked."""
        self.step(f"a day, {precision}")
        model = self.subjects[0].folder
        options = ["--model", model, "--engine", "onnxruntime", "--precision", precision]
        options += ["--frames", self.plan.past_frames, "--threads", len(self.two)]
        key = self.key | {"bundle": bundles.digest(model / "model.toml")}
        found = self.store.get(
            f"past-{precision}", key, lambda: self.ours("past", *options, cores=self.two)
        )
        self.done()
        return found

    def measure_first(self) -> dict[tuple[str, str], list[dict]]:
        """Starts, cold and warm."""
        model = self.subjects[0].folder
        picture = self.out / "frame.png"
        starts = Starts(self.plugin, model, picture, self.out, self.two)
        key = self.key | {"bundle": bundles.digest(model / "model.toml")}
        found = {}
        for engine in ENGINES:
            for caches in ("cold", "warm"):
                self.step(f"first detection, {engine}, {caches}")
                found[engine, caches] = self.store.get(
                    f"first-{engine}-{caches}",
                    key,
                    lambda engine=engine, caches=caches: starts.measure(
                        engine, caches == "warm", self.plan.starts, self.env
                    ),
                )
                self.done()
        return found

    def report(self, quick: bool) -> tuple[str, str]:
        """The table of targets, and all of the generated part."""
        targets = tables.targets_table(
            [
                *tables.grid_targets(self.grid),
                tables.element_target(self.element),
                tables.streams_target(self.streams),
                tables.first_target(self.first),
                tables.past_target(self.past),
            ]
        )
        begun, ended = (datetime.fromtimestamp(t, UTC) for t in self.store.times())
        loads = self.store.loads()
        facts = machine.describe() | machine.libraries()
        facts |= {
            "tract": self.versions[tables.TRACT],
            "mdetr": machine.commit(),
            "measured (UTC)": f"{begun:%Y-%m-%d %H:%M} to {ended:%Y-%m-%d %H:%M}",
            "load average before each measurement": f"{loads[0]:.1f} to {loads[1]:.1f}",
            "how": ("`make bench QUICK=1`" if quick else "`make bench`")
            + f", {THREADS} thread of each contestant on one core",
        }
        parts = [
            "## Targets\n",
            targets,
            "## Machine\n",
            tables.table(("", ""), facts.items(), "---"),
        ]
        for subject in self.subjects:
            parts.append(f"## {subject.title}, network input {subject.network_input()}\n")
            parts.append(tables.grid_table(self.grid, subject.name))
        parts += ["![Time of a frame by number of queries](benchmarks.png)\n"]
        parts += ["## The element\n", tables.element_table(self.element)]
        parts += [f"## {STREAMS} live streams\n", tables.streams_table(self.streams)]
        parts += ["## First detection\n", tables.first_table(self.first)]
        titles = {subject.name: subject.title for subject in self.subjects[1:]}
        parts += ["## A day of a camera, asked later\n", tables.past_table(self.past)]
        parts += [tables.past_of_others(self.grid, titles)]
        return targets, "\n" + "\n".join(parts) + "\n"


def measures(script: Path) -> bool:
    """Whether figures depend on it; the others only present them."""
    return script.stem in ("bundles", "contestants", "first", "idle", "machine", "worker")


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="rougher, in some minutes")
    parser.add_argument("--force", action="store_true", help="measure anew what is known")
    parser.add_argument("--out", type=Path, default=ROOT / "out/bench", metavar="DIR")
    parser.add_argument(
        "--page", type=Path, default=ROOT / "docs/src/benchmarks.md", metavar="FILE"
    )
    parser.add_argument("--target", type=Path, default=ROOT / "target/release", metavar="DIR")
    args = parser.parse_args()
    begun = time.monotonic()
    bench = Bench(args)
    try:
        bench.run()
    except KeyboardInterrupt:
        sys.exit("bench: interrupted; the same command goes on from here")
    except (MeasureError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"bench: {error}")
    targets, report = bench.report(args.quick)
    picture = args.page.with_suffix(".png")
    plot.draw(bench.grid, bench.subjects, picture)
    try:
        args.page.write_text(tables.between(args.page.read_text(), BEGIN, END, report))
    except (OSError, ValueError) as error:
        print(report)
        sys.exit(f"bench: {args.page}: {error}")
    print(targets)
    print(f"bench: {args.page} and {picture}, {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
