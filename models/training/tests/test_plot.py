"""Curves of several stages, read and drawn."""

from pathlib import Path

import pytest
from PIL import Image

from mdetr_training import plot

ROWS = """stage,step,name,value
0,10,loss,8.0
0,10,ACC0,0.5
0,20,loss,4.0
1,5,loss,3.0
1,5,qa_type,0.2
1,5,qa,0.75
1,5,qa/count,0.5
1,5,qa,0.8
1,5,miou,0.7
"""


def test_read(tmp_path: Path):
    (tmp_path / "curves.csv").write_text(ROWS)
    found = plot.read(tmp_path / "curves.csv")
    assert found.panels == {
        "losses": {"loss": {10: 8.0, 20: 4.0, 25: 3.0}, "qa_type": {25: 0.2}},
        "words of tokens right": {"ACC0": {10: 0.5}},
        "questions answered right": {"qa": {25: 0.8}, "qa/count": {25: 0.5}},
        "mean IoU of masks": {"miou": {25: 0.7}},
    }
    assert found.starts == [20]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stage,step,name,value\n", "expected curves, found none"),
        ("stage,step,name,value\n0,1,loss\n", "line 2: expected stage,step,name,value, found"),
        ("stage,step,name,value\n0,1,loss,low\n", "line 2: .* found '0,1,loss,low'"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str):
    (tmp_path / "curves.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        plot.read(tmp_path / "curves.csv")


def test_draw(tmp_path: Path):
    pytest.importorskip("matplotlib")
    (tmp_path / "curves.csv").write_text(ROWS)
    plot.draw(plot.read(tmp_path / "curves.csv"), tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        assert image.size == (1080, 1344)
