"""Writes the messages that peers made to a directory, one a file: `ros2_seeds.py DIRECTORY`."""

import json
import sys
from pathlib import Path

MESSAGES = Path(__file__).parents[2] / "src/ros2-messages/tests/fixtures/messages.json"

for name, message in json.loads(MESSAGES.read_text()).items():
    for order in ("little", "big"):
        file = Path(sys.argv[1]) / f"{name.replace('/', '-')}-{order}"
        file.write_bytes(bytes.fromhex(message[order]))
