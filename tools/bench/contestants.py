"""Who is measured: processes that ground frames when they are told to, all by one protocol.

A contestant prints one line of JSON about itself when it is ready. Then it answers each line
`{"queries": N, "warm": K, "seconds": S}` with one: it grounds K frames, then measures frames for
S seconds, each answered for the first N sentences.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .bundles import SIZE, Subject
from .machine import ROOT

THREADS = 1
"""Of every contestant; all run on the same core."""


@dataclass(frozen=True)
class Contestant:
    """Someone who grounds frames."""

    name: str
    title: str
    ours: bool
    options: tuple[str, ...]
    """Of `mdetr-bench serve` if it is ours; of `worker.py` otherwise."""
    only: tuple[str, ...] = ()
    """Names of the subjects it takes part in, if not in all."""
    int8: bool = False
    """Whether it is given the bundle with weights of 8 bit."""


ORT, TRACT = "mdetr-onnxruntime", "mdetr-tract"
PLAIN, TORCH, MASKS, PACKED = "onnxruntime", "torch", "mdetr-masks", "mdetr-packed"
INT8 = "mdetr-int8"
CONTESTANTS = (
    Contestant(ORT, "mdetr on ONNX Runtime", True, ("--engine", "onnxruntime")),
    Contestant(TRACT, "mdetr on tract", True, ("--engine", "tract")),
    Contestant(PLAIN, "Python onnxruntime, same split", False, ("onnxruntime",)),
    Contestant(TORCH, "PyTorch per (frame, query)", False, ("torch",)),
    Contestant(
        MASKS,
        "mdetr on ONNX Runtime, with masks",
        True,
        ("--engine", "onnxruntime", "--masks"),
        only=("tabletop",),
    ),
    Contestant(
        PACKED,
        "mdetr on ONNX Runtime, queries packed",
        True,
        ("--engine", "onnxruntime", "--pack"),
    ),
    Contestant(
        INT8,
        "mdetr on ONNX Runtime, int8",
        True,
        ("--engine", "onnxruntime"),
        only=("tabletop", "efficientnetB3"),
        int8=True,
    ),
)


def of(subject: Subject) -> list[Contestant]:
    """Those that take part."""
    return [c for c in CONTESTANTS if not c.only or subject.name in c.only]


class MeasureError(Exception):
    """A measured program failed."""


def environment(library: Path, threads: int = THREADS) -> dict[str, str]:
    """Of every measured process: the threads it may use and where ONNX Runtime lies."""
    threads = str(threads)
    return os.environ | {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
        "ORT_DYLIB_PATH": str(library),
        "PYTHONPATH": str(ROOT / "tools"),
    }


class Process:
    """A contestant that is running, on the cores it is given."""

    def __init__(self, command: Sequence[object], cores: set[int], env: dict[str, str]):
        self.command = " ".join(map(str, command))
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def hear(self) -> dict:
        """The next line it prints."""
        line = self.process.stdout.readline()
        # A process that is killed may leave a part of a line.
        if not line.endswith("\n"):
            raise MeasureError(f"{self.command} ended with {self.process.wait()}")
        return json.loads(line)

    def ask(self, **request: float) -> dict:
        """What it answers."""
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError as error:
            raise MeasureError(f"{self.command} ended with {self.process.wait()}") from error
        return self.hear()


def command(
    contestant: Contestant, subject: Subject, program: Path, frames: Path, queries: Path
) -> list[object]:
    """What starts it."""
    ours = [program, "serve"]
    theirs = [sys.executable, "-m", "bench.worker"]
    width, height = SIZE
    model = subject.int8 if contestant.int8 else subject.folder
    options = ["--model", model, "--frames", frames, "--queries", queries]
    options += ["--size", f"{width}x{height}"]
    if subject.short_side:
        options += ["--short-side", subject.short_side]
    if not contestant.ours:
        options += ["--structure", subject.structure or "", "--threads", THREADS]
    return [*(ours if contestant.ours else theirs), *contestant.options, *options]
