"""Every format of data sets, read from small files."""

import json
import pickle
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pictures_files import (
    CAPTIONS,
    NAMES,
    annotation,
    detection,
    grounding,
    image,
    span,
    write_json,
    write_picture,
    yolo,
)

from mdetr_training.pictures import SourceConfig, jsonstream, names, open_source
from mdetr_training.pictures.detection import Absent
from mdetr_training.pictures.open import share_phrases
from mdetr_training.pictures.packed import Groups, Packed
from mdetr_training.pictures.source import Answering


def opened(path: Path, answering: Answering | None = None, masks: bool = False, **more):
    return open_source(SourceConfig(str(path), **more), None, answering, masks)


def test_a_stream_is_what_json_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    value = {"info": {"a": [1, "ü🙂"]}, "images": [{"id": 12345, "x": -1.5e3}, 7, [], "]"], "n": []}
    begin = jsonstream.ARRAY
    expected = [("images", v) for v in (begin, *value["images"])]
    expected = [("info", value["info"]), *expected, ("n", begin)]
    for text in (json.dumps(value), json.dumps(value, indent=3, ensure_ascii=False), "\ufeff{}"):
        for chunk in (1, 2, 7, 1 << 20):
            monkeypatch.setattr(jsonstream, "CHUNK", chunk)
            path = tmp_path / "a.json"
            path.write_text(text, encoding="utf-8")
            assert list(jsonstream.stream(path)) == ([] if text.endswith("{}") else expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected {, found the end of the file"),
        ("[1]", r"expected \{, found \["),
        ('{"a": [1, 2', "character 11: expected , or ], found the end of the file"),
        ('{"a": [1, 2}', "character 11: expected , or ], found }"),
        ('{"a": [nope]}', "character 7: Expecting value"),
        ('{"a": 1} 2', "expected the end of the file, found '2'"),
        ('{"a": "\udcff"}', "expected UTF-8"),
        ('{"a": ' + "[" * 100_000, "fewer levels of brackets"),
    ],
)
def test_what_is_not_json_is_refused(tmp_path: Path, text: str, message: str):
    path = tmp_path / "a.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=f"a.json: not JSON.*{message}"):
        list(jsonstream.stream(path))


def test_elements_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jsonstream, "CHUNK", 64)
    monkeypatch.setattr(jsonstream, "MOST", 256)
    path = write_json(tmp_path / "a.json", {"a": ["x" * 100] * 9})
    assert len(list(jsonstream.stream(path))) == 10
    write_json(path, {"a": ["x" * 1000]})
    with pytest.raises(ValueError, match="at most 256 characters"):
        list(jsonstream.stream(path))


def test_packed_values():
    values = [(1, "ü", [[1, 2]], None), (b"\0", 2.5), {"a": 1}]
    packed = Packed()
    for value in values:
        packed.append(value)
    assert list(packed) == values
    assert list(packed.freeze()) == values
    assert packed.nbytes < 150
    with pytest.raises(IndexError):
        packed[3]
    assert list(pickle.loads(pickle.dumps(packed))) == values
    assert len(Packed().freeze()) == 0
    groups = Groups(np.array([2, 0, -1, 2, 0]), 3)
    assert [groups[i] for i in range(3)] == [[1, 4], [], [0, 3]]


def test_grounding_annotations(tmp_path: Path):
    value = grounding(tmp_path)
    value["images"][1] |= {
        "tokens_positive_eval": [[[0, 8]], [[17, 28]]],
        "sentence_id": 4,
        "task_id": "t",
    }
    value["annotations"].append(annotation(1, [0, 0, 9, 9], iscrowd=1))
    value["annotations"][2]["tokens"] = [[4, 8]]
    source = opened(write_json(tmp_path / "a.json", value))
    assert len(source) == source.fixed == 6
    entry = source.entry(1)
    assert entry.picture == str(tmp_path / "1.png")
    assert (entry.caption, entry.kind) == (CAPTIONS[1], "own")
    assert entry.boxes.tolist() == [[4, 4, 20, 30], [31, 8, 25, 12]]
    assert entry.spans == [[[4, 8]], span(CAPTIONS[1], "cat")]
    assert entry.phrases == [[[0, 8]], [[17, 28]]]
    assert (entry.original_id, entry.sentence_id, entry.task_id) == (71, 4, "t")
    assert entry.final is None
    assert entry.place == f"{tmp_path / 'a.json'}: images, id 1"
    assert source.entry(0).phrases is None
    assert set(source.phrases(100)) >= {"a", "car", "dogs", "cat", "again"}


def test_chains_of_references(tmp_path: Path):
    value = grounding(tmp_path, 2)
    for i, o in enumerate(value["annotations"][:2]):
        o["isfinal"] = i
    source = opened(write_json(tmp_path / "a.json", value))
    assert source.entry(0).final == [0.0, 1.0]
    assert source.entry(1).final is None


def test_mixed_annotations_have_folders_by_source(tmp_path: Path):
    value = {
        "images": [image(1, "a", data_source="coco"), image(2, "b", data_source="vg")],
        "annotations": [],
    }
    path = write_json(tmp_path / "a.json", value)
    source = opened(path, pictures={"coco": "/c", "vg": "/v"})
    assert [source.entry(i).picture for i in range(2)] == ["/c/1.png", "/v/2.png"]
    with pytest.raises(ValueError, match=r"2.png: data_source 'vg': expected one of coco; add its"):
        opened(path, pictures={"coco": "/c"}).entry(1)


def test_gqa_answers(tmp_path: Path):
    kinds = {"obj": 3, "rel": 4, "attr": 5, "cat": 2, "global": 2}
    table = {
        f"answer_{kind}": {"unknown": 0} | {f"{kind}{i}": i for i in range(1, n)}
        for kind, n in kinds.items()
    }
    answers = write_json(tmp_path / "types.json", table)
    asked = [("attr3", "attr"), ("obj1", "rel"), ("what", "global")]
    images = [
        image(i, "what?", answer=answer, question_type=kind, questionId=f"q{i}")
        for i, (answer, kind) in enumerate(asked)
    ]
    value = {"images": [*images, image(9, "no question")], "annotations": []}
    path = write_json(tmp_path / "a.json", value)
    answering = Answering("gqa", {"type": 5, **kinds})
    source = opened(path, answering, answers=str(answers))
    assert [source.entry(i).answer for i in range(4)] == [
        {"type": 1, "attr": 3},
        {"type": 2, "rel": 0},
        {"type": 3, "global": 0},
        {},
    ]
    assert source.entry(1).task_id == "q1"
    with pytest.raises(ValueError, match=r"images\[0\]: answer: expected gqa_answer2id_by_type"):
        opened(path, answering)
    assert opened(path).entry(0).answer == {}
    images[1]["question_type"] = "why"
    write_json(path, value)
    with pytest.raises(ValueError, match=r"images\[1\]: question_type: expected one of obj, attr"):
        opened(path, answering, answers=str(answers))


def test_clevr_questions(tmp_path: Path):
    questions = [
        {"image_filename": "0.png", "image_index": 0, "question": "how many?", "answer": "3"},
        {"image_filename": "0.png", "image_index": 0, "question": "is it?", "answer": "yes"},
        {"image_filename": "1.png", "image_index": 1, "question": "which?", "answer": "metal"},
    ]
    write_picture(tmp_path / "images" / "0.png")
    path = write_json(tmp_path / "a.json", {"info": {}, "questions": questions})
    source = opened(path, Answering("clevr"))
    entries = [source.entry(i) for i in range(3)]
    assert [e.answer for e in entries] == [
        {"type": 2, "reg": 3},
        {"type": 0, "binary": 1},
        {"type": 1, "attr": 14},
    ]
    assert entries[1].picture == str(tmp_path / "images" / "0.png")
    assert [e.caption for e in entries] == ["how many?", "is it?", "which?"]
    assert not len(entries[0].boxes) and entries[0].phrases == []
    questions[1]["answer"] = "maybe"
    write_json(path, {"questions": questions})
    with pytest.raises(ValueError, match=r"questions\[1\]: answer: .* found 'maybe'"):
        opened(path, Answering("clevr"))


def test_names_of_categories():
    cleaned = ["bow (weapon)", "bow_(weapon)", "sofa_bed", " a__b ", "(all)"]
    assert [names.clean(n) for n in cleaned] == ["bow", "bow", "sofa bed", "a b", ""]
    assert names.numbered(["bow_(weapon)", "dog", "bow_(ribbon)"]) == (["bow", "dog"], [0, 1, 0])
    text, spans = names.caption(["forklift", "sofa bed"])
    assert text == "forklift. sofa bed."
    assert [text[b:e] for b, e in spans] == ["forklift", "sofa bed"]
    assert names.caption(["forklift"]) == ("forklift", [[0, 8]])
    many = [f"thing number {i}" for i in range(40)]
    chosen = names.fitting(many, names.short)
    assert len(names.caption(chosen)[0]) <= 250 < len(names.caption(many[: len(chosen) + 1])[0])
    assert names.fitting(["x" * 300, "y"], names.short) == ["x" * 300]


def test_drawn_captions_of_categories(tmp_path: Path):
    source = opened(write_json(tmp_path / "a.json", detection(tmp_path)))
    assert len(source) == 4
    alone, lists, absent = 0, 0, 0
    orders = set()
    for i in range(3000):
        entry = source.drawn(1, random.Random(i))
        found = [entry.caption[b:e] for ((b, e),) in entry.spans]
        if entry.caption.endswith("."):
            lists += 1
            orders.add(entry.caption)
            assert found == ["forklift", "forklift", "wooden pallet"]
            assert entry.boxes.tolist() == [[4, 4, 20, 30], [24, 14, 20, 30], [30, 8, 25, 12]]
        else:
            alone += 1
            absent += not found
            assert set(found) in ({entry.caption}, set())
            assert bool(found) == (entry.caption in ("forklift", "wooden pallet"))
            assert len(entry.phrases) == (1 if found else 0)
    assert lists == pytest.approx(1500, abs=120)
    assert absent == pytest.approx(alone / 3, abs=100)
    assert len(orders) == 2 + 2 * 6 + 24


def test_crowds_are_neither_shown_nor_absent(tmp_path: Path):
    source = opened(write_json(tmp_path / "a.json", detection(tmp_path)))
    drawn = [source.drawn(0, random.Random(i)) for i in range(200)]
    assert not any("person" in e.caption for e in drawn)
    assert any("bow" in e.caption for e in drawn)
    assert all(len(e.boxes) <= 3 for e in drawn)


def test_what_may_be_absent_can_be_given(tmp_path: Path):
    value = detection(tmp_path)
    value["images"][1] |= {"neg_category_ids": [8], "not_exhaustive_category_ids": []}
    value["images"].append(image(9, neg_category_ids=[]))
    source = opened(write_json(tmp_path / "a.json", value))
    assert len(source) == 4
    words = " ".join(source.drawn(1, random.Random(i)).caption for i in range(100))
    assert "person" in words and "bow" not in words


def test_validation_asks_the_same_of_each_category(tmp_path: Path):
    path = write_json(tmp_path / "a.json", detection(tmp_path))
    entries = [opened(path).entry(i) for i in range(15)]
    of_second = [e for e in entries if e.image_id == 1]
    assert Counter(e.kind for e in of_second) == {"category": 2, "absent": 2}
    assert [len(e.boxes) for e in of_second] == [2, 1, 0, 0]
    assert {e.caption for e in of_second} == set(map(names.clean, NAMES))
    assert opened(path).fixed == 3 + 3 * 4
    assert [e.caption for e in entries] == [opened(path).entry(i).caption for i in range(15)]


@pytest.mark.parametrize("listing", ["[forklift, pallet]", "{0: forklift, 1: pallet}"])
def test_yolo_folders(tmp_path: Path, listing: str):
    source = opened(yolo(tmp_path, listing))
    assert len(source) == 3
    shown = [source.record(i) for i in range(3)]
    assert [s.picture for s in shown] == [
        str(tmp_path / "images" / "train" / f"{i}.png") for i in range(3)
    ]
    assert shown[0].boxes.tolist() == [[0.375, 0.25, 0.25, 0.5], [0, 0, 0.5, 0.5]]
    assert shown[0].caption == "forklift. pallet."
    assert shown[1].boxes.tolist() == [[0.25, 0.25, 0.5, 0.25]]
    assert not len(shown[2].boxes)
    assert all(e.relative for e in shown)
    assert {source.drawn(2, random.Random(i)).kind for i in range(20)} == {"absent"}


@pytest.mark.parametrize("form", ["folder", "list", "folders", "wrong", "path"])
def test_where_yolo_has_its_pictures(tmp_path: Path, form: str):
    path = yolo(tmp_path)
    names_of = [f"./images/train/{i}.png" for i in range(3)]
    (tmp_path / "train.txt").write_text("\n".join(names_of) + "\n\n")
    split, more = {
        "folder": ("images/train", ""),
        "list": ("train.txt", ""),
        "folders": ("[images/train, images/train]", ""),
        "wrong": ("../images/train", ""),
        "path": ("train", "path: images\n"),
    }[form]
    path.write_text(f"{more}train: {split}\nnames: [forklift, pallet]\n")
    source = opened(path)
    assert source.records == (6 if form == "folders" else 3)
    assert len(source.record(0).boxes) == 2


def test_pictures_that_show_nothing(tmp_path: Path):
    for i in range(3):
        write_picture(tmp_path / "empty" / "deep" / f"{i}.jpg")
    empty = opened(tmp_path / "empty")
    assert isinstance(empty, Absent)
    (tmp_path / "pictures").mkdir()
    other = opened(write_json(tmp_path / "a.json", grounding(tmp_path)))
    with pytest.raises(ValueError, match="empty: expected phrases for pictures that show nothing"):
        share_phrases([empty])
    share_phrases([empty, other], ["a whale"])
    assert len(empty) == 3 and empty.fixed == 6
    captions = {empty.drawn(0, random.Random(i)).caption for i in range(300)}
    phrases = {"a", "car", "two", "cat", "all", "objects", "the", "again", "a whale"}
    assert captions >= phrases
    assert any(c.count(".") > 1 for c in captions)
    fixed = [empty.entry(i) for i in range(6)]
    assert {e.caption for e in fixed} <= phrases
    assert fixed[0].caption != fixed[1].caption and fixed[0].picture == fixed[1].picture
    assert all(e.kind == "absent" and e.phrases == [] for e in fixed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v["annotations"][1].pop("bbox"), r"annotations\[1\]: bbox: expected x, y, wi"),
        (lambda v: v["annotations"][1].update(bbox=[1, 2, 3]), r"bbox: expected x, y"),
        (lambda v: v["annotations"][1].update(bbox=[1, 2, float("nan"), 3]), "expected numbers"),
        (lambda v: v["annotations"][1].update(image_id="x"), "image_id: expected a whole number"),
        (lambda v: v["annotations"][1].update(tokens_positive=[[1]]), "tokens_positive: expected"),
        (lambda v: v["annotations"].append(7), r"annotations\[12\]: expected a table, found 7"),
        (lambda v: v["images"][2].pop("id"), r"images\[2\]: id: expected a whole number"),
        (lambda v: v["images"][2].pop("file_name"), "file_name: expected text, found None"),
        (lambda v: v["images"][2].update(caption=7), "caption: expected text, found 7"),
        (lambda v: v["images"][2].pop("caption"), "id 2: caption: expected one, found none"),
        (lambda v: v["images"][2].update(id=1), "a.json: id 1: pictures with an id that"),
        (lambda v: v["images"][2].update(id=1 << 70), "id: expected a whole number"),
        (lambda v: v["images"][2].update(tokens_positive_eval=5), "tokens_positive_eval: expected"),
        (lambda v: v["images"][2].update(caption="\ud800"), "caption: expected text, found"),
        (
            lambda v: v["images"][2].update(original_img_id=[1]),
            "original_img_id: expected a number",
        ),
        (lambda v: v["images"][2].update(neg_category_ids=7), r"images\[2\]: 'int' object is not"),
        (lambda v: v["annotations"][1].update(isfinal="x"), r"annotations\[1\]: could not convert"),
        (
            lambda v: v["annotations"][1].update(tokens_positive=[[0, 1 << 70]]),
            "tokens_positive: ex",
        ),
        (lambda v: v["annotations"][1].update(bbox=[0, 0, 10**400, 1]), "bbox: expected numbers"),
        (
            lambda v: v.update(images=[]),
            "expected images with captions, images with annotations and",
        ),
        (lambda v: v["categories"].append({"id": 1, "name": "y"}), "found 1 again"),
    ],
)
def test_broken_annotations_are_refused(tmp_path: Path, change, message: str):
    value = grounding(tmp_path)
    change(value)
    value.pop("categories") if not value["images"] else None
    with pytest.raises(ValueError, match=message):
        opened(write_json(tmp_path / "a.json", value))


def test_objects_need_words(tmp_path: Path):
    value = grounding(tmp_path)
    value["annotations"][3].pop("tokens_positive")
    with pytest.raises(ValueError, match="image_id 1: tokens_positive: expected the object's w"):
        opened(write_json(tmp_path / "a.json", value))
    value["annotations"][3]["iscrowd"] = 1
    assert len(opened(write_json(tmp_path / "a.json", value)).entry(1).boxes) == 1


def test_unknown_categories_are_refused(tmp_path: Path):
    value = detection(tmp_path)
    value["annotations"][1]["category_id"] = 99
    with pytest.raises(ValueError, match="category_id: expected one of the categories, found 99"):
        opened(write_json(tmp_path / "a.json", value))
    value["annotations"][1]["category_id"] = 5
    value["categories"][2]["name"] = "(all)"
    with pytest.raises(ValueError, match=r"categories, id 7: name: expected a word, found '\(all"):
        opened(write_json(tmp_path / "a.json", value))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.1", "0.txt: line 1: expected a class with four numbers, .* found 3 numbers"),
        ("0 0.5 0.5 0.1 x", "expected numbers, found"),
        ("2 0.5 0.5 0.1 0.1", "expected a class from 0 to 1, found 2"),
        ("0.5 0.5 0.5 0.1 0.1", "expected a class from 0 to 1, found 0.5"),
        ("0 0.5 nan 0.1 0.1", "expected numbers that are shares of the picture"),
        ("inf 0.5 0.5 0.1 0.1", "expected numbers that are shares of the picture"),
        ("0 320 240 50 70", "expected numbers that are shares of the picture, found '0 320 240"),
    ],
)
def test_broken_labels_are_refused(tmp_path: Path, line: str, message: str):
    path = yolo(tmp_path)
    (tmp_path / "labels" / "train" / "0.txt").write_text(line + "\n")
    with pytest.raises(ValueError, match=message):
        opened(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "data.yaml: expected a table with `names`"),
        ("names: [a]", "data.yaml: train: expected a folder, a list"),
        ("names: [a]\ntrain: nowhere", "train: expected nowhere in .*; set `path`"),
        ("names: {1: a}\ntrain: images", "names: expected the numbers 0 to 0"),
        ("names: 5\ntrain: images", "names: expected a list of names, found 5"),
        ("names: ['']\ntrain: images", "names, 0: expected a word"),
        ("names: [a]\nkpt_shape: [17, 3]", "kpt_shape: expected boxes or polygons"),
        ("names: [", "data.yaml: not YAML"),
        ("names: [a]\ntrain: data.yaml", "expected pictures, found .*data.yaml"),
    ],
)
def test_broken_data_yaml_is_refused(tmp_path: Path, text: str, message: str):
    path = yolo(tmp_path)
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        opened(path)


def test_other_files_and_folders_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"nowhere: expected an annotation file, a data.yaml or"):
        opened(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="expected pictures with captions, found none"):
        opened(tmp_path)
    captions = {"images": [image(1)], "annotations": [{"image_id": 1, "caption": "x", "id": 1}]}
    with pytest.raises(ValueError, match=r"annotations\[0\]: bbox: expected"):
        opened(write_json(tmp_path / "a.json", captions))
    with pytest.raises(ValueError, match=r"found a.json in it; give .*a.json if that describes"):
        opened(tmp_path)
    with pytest.raises(ValueError, match="questions, found nothing"):
        opened(write_json(tmp_path / "a.json", {}))
    nothing = {"images": [image(1)], "annotations": [], "categories": [{"id": 1, "name": "dog"}]}
    source = opened(write_json(tmp_path / "a.json", nothing))
    assert source.drawn(0, random.Random(0)).kind == "absent"
    with pytest.raises(ValueError, match="split: expected one of train, val, test, found 'x'"):
        opened(yolo(tmp_path / "y"), split="x")
    with pytest.raises(ValueError, match="repeat: expected at least 1, found 0"):
        opened(tmp_path / "a.json", repeat=0)
