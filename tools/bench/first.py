"""Time from the start of a process to its first detection, as a user starts it."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from .contestants import MeasureError
from .machine import peak_bytes

QUERY = "all objects"


class Starts:
    """gst-launch-1.0 with our plugin, on the given cores."""

    def __init__(self, plugin: Path, model: Path, picture: Path, out: Path, cores: set[int]):
        self.model, self.picture, self.cores = model, picture, cores
        # Alone in a folder, as if installed: GStreamer looks through all of them at each start.
        folder = out / "plugin"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.plugin = Path(shutil.copy2(plugin, folder))
        self.variables = {
            "GST_PLUGIN_PATH": str(folder),
            "GST_REGISTRY": str(out / "registry.bin"),
        }
        self.caches = out / "text-cache"

    def evict(self, *files: Path) -> None:
        """Have the kernel forget what it read of these files."""
        for file in files:
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)

    def measure(self, engine: str, warm: bool, times: int, env: dict[str, str]) -> list[dict]:
        """Start so often. Warm: the files were read just before and the query's encoding is on
        disk. Cold: neither."""
        env = env | self.variables
        inspect = ["gst-inspect-1.0", "mdetr"]
        subprocess.run(inspect, env=env, check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(self.caches, ignore_errors=True)
        self.caches.mkdir(parents=True)
        if warm:
            self.start(engine, self.caches, env)
            return [self.start(engine, self.caches, env) for _ in range(times)]
        found = []
        files = [self.plugin, *(p for p in self.model.iterdir() if p.is_file())]
        if engine == "onnxruntime":
            files.append(Path(env["ORT_DYLIB_PATH"]))
        for _ in range(times):
            self.evict(*files)
            with tempfile.TemporaryDirectory(dir=self.caches) as cache:
                found.append(self.start(engine, Path(cache), env))
        return found

    def start(self, engine: str, cache: Path, env: dict[str, str]) -> dict:
        """Seconds until a detection is printed, and the peak of memory until then."""
        source = [f"location={self.picture}", "loop=true", "caps=image/png,framerate=30/1"]
        element = [f"model={self.model}", f"engine={engine}", f"query={QUERY}"]
        element.append(f"text-cache-dir={cache}")
        command = ["gst-launch-1.0", "-q", "multifilesrc", *source, "!", "pngdec", "!"]
        command += ["videoconvert", "!", "mdetr", *element, "!", "mdetr2json", "!", "fdsink"]
        begun = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            env=env,
            preexec_fn=lambda: os.sched_setaffinity(0, self.cores),
        )
        try:
            for line in process.stdout:
                if not line.endswith(b"\n"):
                    break
                seconds = time.perf_counter() - begun
                if any(query["present"] for query in json.loads(line)["queries"]):
                    return {"seconds": seconds, "peak_bytes": peak_bytes(process.pid)}
            raise MeasureError(f"{' '.join(command)} ended with {process.wait()}, nothing detected")
        finally:
            process.kill()
            process.communicate()
