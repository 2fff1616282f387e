"""The package as it is installed from its wheel, and the command beside it.

`MDETR_BUILD` names the directory with mdetr and the plugin; target/debug, if not set.
"""

import json
import math
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mdetr

ROOT = Path(__file__).parent.parent.parent
BUILD = Path(os.environ.get("MDETR_BUILD", ROOT / "target" / "debug")).resolve()
PICTURES = ROOT / "src/mdetr/tests/data/parity"
# The engine that is always there, so that results are compared with those of the same one.
ENGINE = "tract"


def rounded(value, digits):
    """As the report rounds: halves away from zero."""
    scale = 10**digits
    return math.floor(value * scale + 0.5) / scale


def reported(found):
    """What `to_dict` gives, rounded as in lines of JSON."""
    for query in found["queries"]:
        for detection in query.get("detections", []):
            detection["box"] = [rounded(side, 2) for side in detection["box"]]
            detection["score"] = rounded(detection["score"], 4)
            for phrase in detection["phrases"]:
                phrase["score"] = rounded(phrase["score"], 4)
        if "answer" in query:
            query["answer"]["score"] = rounded(query["answer"]["score"], 4)
    return found


def picture(number):
    return np.asarray(Image.open(PICTURES / f"{number:02}.png").convert("RGB"))


def detect(number, *queries):
    """What the command finds in a picture."""
    command = [
        BUILD / "mdetr",
        "detect",
        "--engine",
        ENGINE,
        "--json",
        PICTURES / f"{number:02}.png",
    ]
    for query in queries:
        command += ["--query", query]
    env = {**os.environ, "MDETR_MODEL": str(ROOT / "models/tabletop")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def frame():
    return picture(0)


@pytest.fixture
def grounder():
    return mdetr.Grounder(engine=ENGINE)
