"""The command that says what is in data sets, and what is wrong with them."""

import json
import sys
from pathlib import Path

import pytest
from pictures_files import (
    annotation,
    detection,
    grounding,
    image,
    truncate,
    write_json,
    write_picture,
    yolo,
)
from PIL import Image

from mdetr_training import __main__ as main
from mdetr_training import tokenizer as tokenizers
from mdetr_training.pictures import SourceConfig
from mdetr_training.pictures.check import Check
from mdetr_training.pictures.problems import KINDS


def checked(path: Path, val: Path | None = None, quick: bool = False, **more) -> Check:
    """A check that has run."""
    own = {k: more.pop(k) for k in ("pictures", "answers", "split") if k in more}
    configs = [SourceConfig(str(path), **own)]
    check = Check(configs, [SourceConfig(str(val))] if val else [], **more)
    check.lines = check.run(quick, threads=2)
    return check


def test_a_sound_data_set(tmp_path: Path):
    path = write_json(tmp_path / "a.json", grounding(tmp_path))
    check = checked(path)
    assert not check.found.counts
    assert check.lines[0] == f"{path}: captions with the words of each object"
    assert check.lines[1].strip() == "6 pictures, 6 captions, 12 objects"
    report = "\n".join(check.lines)
    assert "objects per caption: 2.00, at most 2; captions that name nothing there: 0.0 %" in report
    assert "phrases: 'a' 3" in report
    assert "2 sizes of pictures: 64 x 48 (3), 72 x 48 (3)" in report
    assert "median 0.3" in report


def test_every_format(tmp_path: Path):
    write_picture(tmp_path / "e" / "1.png")
    a = write_json(tmp_path / "d" / "a.json", detection(tmp_path / "d"))
    configs = [SourceConfig(str(p)) for p in (a, yolo(tmp_path / "y"), tmp_path / "e")]
    check = Check(configs)
    report = "\n".join(check.run())
    assert not check.found.counts
    assert "objects of categories (COCO)\n    4 pictures, 4 captions, 12 objects" in report
    assert "objects of categories (YOLO)\n    3 pictures, 3 captions, 3 objects" in report
    assert "captions that name nothing there: 33.3 %" in report
    assert "pictures that show nothing\n    1 pictures" in report


def set_box(box: list[float]):
    return lambda v, f: v["annotations"][1].update(bbox=box)


def set_spans(*spans: list[int]):
    return lambda v, f: v["annotations"][1].update(tokens_positive=list(spans))


def set_mask(polygons: list[list[float]]):
    return lambda v, f: v["annotations"][1].update(segmentation=polygons)


def broken_picture(text: str):
    return lambda v, f: (f / "2.png").write_text(text)


BREAK = {
    "entry": (lambda v, f: v["images"][2].update(caption=7), "images[2]: caption: expected text"),
    "duplicate-id": (lambda v, f: v["images"][2].update(id=1), "a.json: id 1"),
    "not-finite": (set_box([1, 2, float("inf"), 3]), "annotations[1]: bbox: expected numbers"),
    "missing": (lambda v, f: (f / "2.png").unlink(), "2.png: expected a picture, found no file"),
    "truncated": (
        lambda v, f: truncate(f / "2.png"),
        "2.png: expected a picture, found: image fil",
    ),
    "unreadable": (broken_picture("x"), "2.png: expected a picture, found: cannot identify"),
    "shape": (lambda v, f: write_picture(f / "2.png", (900, 9)), "found 900 x 9"),
    "long": (lambda v, f: v["images"][2].update(caption="qz " * 140), "found 422"),
    "outside": (set_box([40, 8, 30, 12]), "box 40.0 8.0 70.0 20.0 in 64 x 48"),
    "empty": (set_box([4, 8, 0, 12]), "annotations[1]: bbox [4, 8, 0, 12]"),
    "span-outside": (set_spans([2, 50]), "id 0: [2, 50] in a caption of 9 characters"),
    "span-cuts": (set_spans([2, 4]), "id 0: a [re]d car"),
    "no-words": (set_spans(), "images, id 0"),
    "no-caption": (lambda v, f: v["images"][2].update(caption=" "), "images, id 2"),
    "size": (lambda v, f: v["images"][2].update(width=99), "expected 99 x 48, found 64 x 48"),
    "duplicate-annotation": (lambda v, f: v["annotations"][1].update(id=500), "a.json: id 500"),
    "orphan": (lambda v, f: v["annotations"][1].update(image_id=99), "image_id 99"),
    "answer": (lambda v, f: v["images"][2].update(answer="maybe"), "images[2]: answer: expected"),
    "empty-mask": (set_mask([[1, 1, 5, 5]]), "annotations[1]"),
    "mask": (lambda v, f: v["annotations"][1].pop("segmentation"), "annotations[1]: segmentation"),
}


@pytest.mark.parametrize("kind", BREAK)
def test_every_kind_of_problem(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture):
    value = grounding(tmp_path)
    change, message = BREAK[kind]
    value["annotations"][2]["id"] = 500
    for o in value["annotations"]:
        o["segmentation"] = [[1, 1, 5, 1, 5, 5]]
    change(value, tmp_path)
    path = write_json(tmp_path / "a.json", value)
    tokenizer = tokenizers.train(["a red car"], 300)
    check = checked(path, tokenizer=tokenizer, with_masks=True)
    assert check.found.counts[kind] == 1
    assert message in check.found.places[kind][0]
    assert check.found.fatal == KINDS[kind].fatal
    others = set(check.found.counts) - {kind}
    follow = {
        "no-caption": {"span-outside", "no-words"},
        "long": {"span-cuts"},
        "entry": {"orphan"},
    }
    follow |= {"duplicate-id": {"orphan", "span-outside", "size", "span-cuts"}}
    assert others <= follow.get(kind, set())
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    arguments = ["--tokenizer", str(tmp_path / "tokenizer.json"), "--masks"]
    status, out = run(capsys, str(path), *arguments)
    assert status == (1 if KINDS[kind].fatal else 0)
    line = next(line for line in out.splitlines() if KINDS[kind].title in line)
    assert line.startswith("error: 1 " if KINDS[kind].fatal else "odd: 1 ")


def run(capsys: pytest.CaptureFixture, *arguments: str) -> tuple[int, str]:
    """The command's exit code and what it prints."""
    before, sys.argv = sys.argv, ["mdetr_training", "check", *arguments]
    try:
        main.main()
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
        if isinstance(error.code, str):
            print(error.code)
    else:
        status = 0
    finally:
        sys.argv = before
    return status, capsys.readouterr().out


def test_problems_of_other_formats(tmp_path: Path):
    value = detection(tmp_path)
    value["annotations"][1]["category_id"] = 99
    value["images"].append(image(9, neg_category_ids=[]))
    value["images"][-1]["file_name"] = "images/0.png"
    check = checked(write_json(tmp_path / "a.json", value), pictures=str(tmp_path / "images"))
    assert check.found.counts == {"category": 1, "unused": 1, "missing": 1}
    path = yolo(tmp_path / "y")
    labels = tmp_path / "y" / "labels" / "train" / "0.txt"
    labels.write_text("5 0.5 0.5 0.1 0.1\n0 nan 0.5 0.1 0.1\n1 0 0 1 1\n0 0.5 0.5 0 0.1\nx\n")
    check = checked(path)
    expected = {"category": 1, "not-finite": 1, "outside": 1, "empty": 1, "entry": 1}
    assert check.found.counts == expected
    assert "labels/train/0.txt: line 2" in check.found.places["not-finite"][0]
    (tmp_path / "none").mkdir()
    check = checked(tmp_path / "none")
    assert check.found.counts["nothing"] and check.found.fatal
    empty = {"images": [], "annotations": [annotation(1, [0, 0, 9, 9])], "categories": []}
    check = checked(write_json(tmp_path / "b.json", empty))
    assert check.found.counts == {"nothing": 1, "orphan": 1, "category": 1}
    (tmp_path / "b.json").write_text("{")
    check = checked(tmp_path / "b.json")
    assert "b.json: not JSON" in check.found.places["entry"][0]


def test_unknown_answers(tmp_path: Path):
    kinds = ("obj", "rel", "attr", "cat", "global")
    table = {f"answer_{kind}": {"unknown": 0, "dog": 1} for kind in kinds}
    answers = write_json(tmp_path / "types.json", table)
    images = [
        image(i, "what?", answer=a, question_type="obj") for i, a in enumerate(["dog", "cow"])
    ]
    for i in range(2):
        write_picture(tmp_path / f"{i}.png")
    path = write_json(tmp_path / "a.json", {"images": images, "annotations": []})
    check = checked(path, answers=str(answers))
    assert check.found.counts == {"unknown-answer": 1}
    assert "images[1]: 'cow'" in check.found.places["unknown-answer"][0]
    assert "2 questions with an answer" in "\n".join(check.lines)
    assert not checked(path).found.counts
    images[1].pop("question_type")
    write_json(path, {"images": images, "annotations": []})
    assert checked(path).found.counts == {"answer": 1}
    assert not checked(path, attributes=["cow"]).found.counts


def test_places_are_few(tmp_path: Path):
    value = grounding(tmp_path, 9)
    for o in value["annotations"]:
        o["bbox"] = [60, 40, 30, 30]
    check = checked(write_json(tmp_path / "a.json", value))
    assert check.found.counts["outside"] == 18
    assert len(check.found.places["outside"]) == 3
    assert check.found.lines()[-1].strip() == "..."


def test_leaks(tmp_path: Path):
    train = write_json(tmp_path / "t" / "a.json", grounding(tmp_path / "t"))
    val = tmp_path / "v" / "a.json"
    value = grounding(tmp_path / "v")
    for i in range(6):
        value["images"][i]["file_name"] = f"other-{i}.png"
        write_picture(tmp_path / "v" / f"other-{i}.png", (50, 40 + i), seed=50 + i)
    write_json(val, value)
    assert not checked(train, val).found.counts["leak"]
    Image.open(tmp_path / "t" / "3.png").save(tmp_path / "v" / "other-4.png", optimize=True)
    check = checked(train, val)
    assert check.found.counts["leak"] == 1
    assert "other-4.png: the same as " in check.found.places["leak"][0]
    assert check.found.places["leak"][0].endswith("t/3.png")
    assert not checked(train, val, quick=True).found.counts["leak"]
    assert checked(train, train, quick=True).found.counts["leak"] == 6
    same_ids = write_json(tmp_path / "w" / "a.json", grounding(tmp_path / "w"))
    assert checked(train, same_ids, quick=True).found.counts["leak"] == 6
    for i in range(6):
        write_picture(tmp_path / "w" / f"{i}.png", (64, 48), seed=90 + i)
    assert not checked(train, same_ids).found.counts["leak"]


def test_haste_reads_headers_only(tmp_path: Path):
    path = write_json(tmp_path / "a.json", grounding(tmp_path))
    truncate(tmp_path / "3.png")
    (tmp_path / "4.png").unlink()
    assert checked(path).found.counts == {"truncated": 1, "missing": 1}
    assert checked(path, quick=True).found.counts == {"missing": 1}


def test_the_sheet_shows_what_reaches_the_network(tmp_path: Path, capsys):
    path = write_json(tmp_path / "a.json", grounding(tmp_path))
    other = write_json(tmp_path / "d" / "a.json", detection(tmp_path / "d"))
    tokenizer = tmp_path / "tokenizer.json"
    tokenizers.train(["a red car", "two dogs"], 300).save(str(tokenizer))
    out = tmp_path / "sheet.png"
    more = ["--tokenizer", str(tokenizer), "--sheet"]
    status, printed = run(capsys, str(path), str(other), *more, str(out))
    assert status == 0
    assert printed.splitlines()[-2:] == [str(out), "nothing that training would fail at"]
    with Image.open(out) as sheet:
        drawn = sheet.convert("RGB")
    again = tmp_path / "again.png"
    run(capsys, str(path), str(other), *more, str(again))
    assert out.read_bytes() == again.read_bytes()
    width, height = drawn.width // 4, -(-drawn.height // 3)
    cells = [
        drawn.crop((x * width, y * height, (x + 1) * width, (y + 1) * height))
        for y in range(3)
        for x in range(4)
    ]
    # Ten captions in all: the last two cells are empty.
    assert [len(cell.getcolors(1 << 20)) > 20 for cell in cells] == [True] * 10 + [False] * 2
    (tmp_path / "0.png").unlink()
    status, _ = run(capsys, str(path), "--sheet", str(again))
    assert status == 1 and again.stat().st_size > 1000


def test_which_pictures_belong_to_which_data(tmp_path: Path, capsys):
    for name in "tv":
        value = grounding(tmp_path / name)
        write_json(tmp_path / f"{name}.json", value)
    t, v = tmp_path / "t.json", tmp_path / "v.json"
    folders = [str(tmp_path / "t"), str(tmp_path / "v")]
    status, _ = run(capsys, str(t), "--pictures", folders[0])
    assert status == 0
    each = ["--pictures", folders[0], "--pictures", folders[1]]
    status, out = run(capsys, str(t), "--val", str(v), *each)
    assert status == 0
    assert "odd: 6 pictures of the validation that are trained on" in out
    status, out = run(capsys, str(t), *each)
    assert status == 1 and "expected one folder, or one for each of 1 DATA, found 2" in out
    mixed = json.loads(t.read_text())
    for entry in mixed["images"]:
        entry["data_source"] = "vg"
    write_json(t, mixed)
    status, _ = run(capsys, str(t), "--pictures", f"vg={folders[0]}")
    assert status == 0
    status, out = run(capsys, str(t), "--pictures", f"coco={folders[0]}")
    assert status == 1 and "data_source 'vg': expected one of coco" in out
    status, out = run(capsys, str(t), "--pictures", f"coco={folders[0]}", "--pictures", folders[0])
    assert status == 1 and "found both" in out
    status, out = run(capsys, str(tmp_path / "nowhere.json"))
    assert status == 1 and "nowhere.json: expected an annotation file" in out
