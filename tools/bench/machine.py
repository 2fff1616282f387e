"""The machine, and what a process on it uses."""

import os
import platform
import re
import subprocess
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def describe() -> dict[str, str]:
    """What figures depend on besides the engines."""
    info = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", info, re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.+)$", info, re.MULTILINE)
    known = set(flags[1].split()) if flags else set()
    vectors = [name for name in ("avx2", "avx512f", "avx512_vnni") if name in known]
    return {
        "CPU": model[1] if model else platform.machine(),
        "cores": str(os.cpu_count()),
        "vector instructions": ", ".join(vectors) or "neither AVX2 nor AVX-512",
        "memory": f"{int(memory[1]) / 2**20:.0f} GiB" if memory else "unknown",
        "kernel": f"{platform.system()} {platform.release()}",
    }


def libraries() -> dict[str, str]:
    """Versions of what is measured beside our engines."""
    gstreamer = subprocess.run(
        ["gst-launch-1.0", "--version"], stdout=subprocess.PIPE, text=True, check=True
    )
    return {
        "Python": platform.python_version(),
        "PyTorch": version("torch"),
        "ONNX Runtime, ours and Python's": version("onnxruntime"),
        "GStreamer": gstreamer.stdout.split()[2],
    }


def commit() -> str:
    """The commit that is checked out."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "plugins")
        return git("rev-parse", "--short", "HEAD") + (" with changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def reset_peak() -> None:
    """Forget the peak of this process's resident memory: it is counted anew from now on."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_bytes(pid: int | str = "self") -> int:
    """The most memory that was resident at once."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmHWM:\s*(\d+) kB$", status, re.MULTILINE)
    if not found:
        raise ValueError(f"/proc/{pid}/status: expected VmHWM in kB, found none")
    return int(found[1]) * 1024


@dataclass
class Usage:
    """What work took from its begin on, on all threads of this process."""

    wall: float
    cpu: float

    @classmethod
    def begin(cls) -> "Usage":
        reset_peak()
        return cls(time.perf_counter(), time.process_time())

    def cost(self) -> dict[str, float]:
        return {
            "wall_ms": 1e3 * (time.perf_counter() - self.wall),
            "cpu_ms": 1e3 * (time.process_time() - self.cpu),
            "peak_bytes": peak_bytes(),
        }
