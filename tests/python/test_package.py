"""The wheel in an empty environment, its types, and what the book says of it."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import PICTURES, ROOT

WHEEL = Path(os.environ["MDETR_WHEEL"])


def run(*command, **options):
    # Nothing of the environment that the tests run in.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """The Python of an environment with nothing but the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin/python"
    run(python, "-m", "pip", "install", "-q", WHEEL)
    return python


def test_an_empty_environment_needs_numpy_only(empty, tmp_path):
    names = run(empty, "-m", "pip", "list", "--format", "freeze", "--exclude", "pip")
    names = {line.split("==")[0] for line in names.split()} - {"setuptools"}
    assert names == {"mdetr", "numpy"}
    script = (
        "import numpy, mdetr; grounder = mdetr.Grounder(); grounder.set_queries('all cones'); "
        "print(grounder.ground(numpy.zeros((48, 64, 3), numpy.uint8)).queries[0].present)"
    )
    assert run(empty, "-c", script, cwd=tmp_path) == "False\n"


def test_the_lines_of_the_book_run(empty, tmp_path):
    page = (ROOT / "docs/src/python.md").read_text()
    lines = next(b for b in re.findall(r"```python\n(.*?)```", page, re.S) if "Grounder" in b)
    assert len(lines.strip().splitlines()) <= 12
    run(empty, "-m", "pip", "install", "-q", "pillow")
    (tmp_path / "photo.png").symlink_to(PICTURES / "00.png")
    said = run(empty, "-c", lines, cwd=tmp_path)
    # The second sphere stands behind the cube, hardly to its right.
    ball, cones = said.index("ball True None\n"), said.index("cones True None\n")
    assert re.search(r"^  Box\(x=21\.0.*\) 0\.9\d+ \['a sphere'\]$", said[ball:cones], re.M)
    assert said[cones:].count("['all cones']") == 2
    assert re.search(r"^count True Answer\(text='2', score=0\.\d+\)$", said[cones:], re.M)


def test_the_wheel_has_licences_types_and_one_model():
    with zipfile.ZipFile(WHEEL) as wheel:
        names = wheel.namelist()
        metadata = next(name for name in names if name.endswith("/METADATA"))
        said = wheel.read(metadata).decode()
        model = {name for name in names if "/models/" in name}
        notices = next(name for name in names if name.endswith("/licenses/NOTICES"))
        assert "pyo3 " in wheel.read(notices).decode()
    assert "-cp310-abi3-" in WHEEL.name
    assert "Requires-Python: >=3.10" in said
    for name in ("mdetr/py.typed", "mdetr/_native.pyi", "mdetr/_native.abi3.so"):
        assert name in names
    bundled = {path.name for path in (ROOT / "models/tabletop").iterdir()}
    assert {Path(name).name for name in model} == bundled


def test_stubs_are_what_the_module_has():
    run(sys.executable, "-m", "mypy.stubtest", "mdetr._native")


TYPED = """
import numpy
import mdetr

grounder = mdetr.Grounder("tabletop", engine="tract", score_threshold=0.5)
grounder.set_queries({"a": "a cone", "b": mdetr.Query("a cube")})
grounder.set_queries(["a cone", mdetr.Query("a cube", id="c")])
found = grounder.ground(numpy.zeros((8, 8, 3), dtype=numpy.uint8))
for detection in found["a"].detections:
    x: float = detection.box.x
    track: int | None = detection.track
    if detection.mask is not None:
        total: int = int(detection.mask.to_numpy().sum())
reveal_type(found.queries[0].answer)
grounder.set_queries(3)
mdetr.Grounder(engine=3)
found.queries[0].present = True
detection.mask.to_numpy()
"""


def test_types_are_known_to_who_uses_them(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(TYPED)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    told = re.sub(r"program\.py:", "", done.stdout)
    lines = [int(line.split(":")[0]) for line in told.splitlines() if ": error:" in line]
    last = TYPED.count("\n")
    assert lines == [last - 3, last - 2, last - 1, last], done.stdout
    assert '"mdetr.results.Answer | None"' in told or '"Answer | None"' in told, told


def test_the_package_is_soundly_typed():
    run(sys.executable, "-m", "mypy", "--strict", "--ignore-missing-imports", "-p", "mdetr")
