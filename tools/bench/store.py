"""Finished measurements, kept so that an interrupted run goes on where it stopped."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path


class Store:
    """JSON files in a folder, each with what its measurement depends on."""

    def __init__(self, folder: Path, force: bool):
        self.folder, self.force = folder, force
        self.used: list[dict] = []
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, name: str, key: dict, measure: Callable[[], object]) -> object:
        """What was measured under this name and key before, else what `measure` gives now."""
        path = self.folder / f"{name}.json"
        # As JSON gives it back.
        key = json.loads(json.dumps(key))
        entry = None if self.force else self._read(path)
        if entry is None or entry["key"] != key:
            load = os.getloadavg()[0]
            entry = {"key": key, "load": load, "result": measure(), "time": time.time()}
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(entry) + "\n")
            partial.replace(path)
        self.used.append(entry)
        return entry["result"]

    @staticmethod
    def _read(path: Path) -> dict | None:
        try:
            entry = json.loads(path.read_text())
        except (OSError, ValueError):
            return None
        whole = isinstance(entry, dict) and {"key", "load", "result", "time"} <= entry.keys()
        return entry if whole else None

    def times(self) -> tuple[float, float]:
        """When the first and the last of the used measurements ended."""
        times = [entry["time"] for entry in self.used]
        return min(times), max(times)

    def loads(self) -> tuple[float, float]:
        """The least and the most load average before one of them."""
        loads = [entry["load"] for entry in self.used]
        return min(loads), max(loads)
