"""Sizes, spans and batches."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from mdetr_training import tokenizer as tokenizers
from mdetr_training.augment import camera_faults
from mdetr_training.config import BundleConfig, Config, InputConfig, StageConfig
from mdetr_training.data import ATTRIBUTES, Data, attribute_values, object_map, target_size


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((640, 480), (1066, 800)),
        ((500, 333), (1201, 800)),
        ((1000, 500), (1332, 666)),
        ((1024, 576), (1333, 750)),
        ((480, 320), (1200, 800)),
        ((3000, 900), (1333, 400)),
        ((480, 640), (800, 1066)),
    ],
)
def test_target_size(size, expected):
    assert target_size(*size, InputConfig()) == expected


def test_tokens_of_span(tokenizer: Path):
    text = "a small red cube left of the large blue sphere"
    encoding = tokenizers.load(tokenizer).encode(text)
    begin = text.index("large")
    tokens = tokenizers.tokens_of_span(encoding, begin, len(text))
    assert [text[slice(*encoding.offsets[t])] for t in tokens] == ["large", "blue", "sphere"]
    assert tokenizers.tokens_of_span(encoding, begin - 1, len(text)) == tokens
    assert 0 not in tokenizers.tokens_of_span(encoding, 0, 1)


def test_camera_faults():
    picture = np.full((24, 32, 3), 128, np.uint8)
    rng = np.random.default_rng(1)
    assert camera_faults(picture, rng, 0.0) is picture
    means = []
    for _ in range(40):
        worse = camera_faults(picture, rng, 1.0)
        assert worse.shape == picture.shape
        assert worse.dtype == np.uint8
        means.append(worse.mean())
    assert min(means) < 90
    assert max(means) > 190
    again = camera_faults(picture, np.random.default_rng(5), 1.0)
    assert (again == camera_faults(picture, np.random.default_rng(5), 1.0)).all()


def test_materials_that_do_not_show_have_no_value():
    cone = {"size": "large", "colour": "green", "material": "shiny", "shape": "cone"}
    told = attribute_values(cone, {})
    assert min(told) >= 0
    untold = attribute_values(cone, {"tells_materials": False})
    assert [a for a, b in zip(untold, told, strict=True) if a != b] == [-1]
    assert untold[list(ATTRIBUTES).index("material")] == -1


QUESTIONS = [
    ("exist", "are there any green cones?", "no", []),
    ("count", "how many small cubes are there?", "2", [0, 1]),
    ("query-attribute", "what color is the large sphere?", "blue", [1]),
]


def write_dataset(folder: Path, questions: list = ()) -> None:
    """One 64 x 64 picture with a red square at the top left and a blue one at the bottom right.

    `questions`: kind, text, answer and objects, which the whole text names.
    """
    (folder / "images").mkdir(parents=True)
    pixels = np.zeros((64, 64, 3), np.uint8)
    objects, annotations = [], []
    for i, (colour, corner) in enumerate([("red", 0), ("blue", 32)]):
        mask = np.zeros((64, 64), np.uint8, order="F")
        mask[corner : corner + 16, corner : corner + 32] = 1
        pixels[mask > 0] = (255, 0, 0) if i == 0 else (0, 0, 255)
        rle = coco_mask.encode(mask)
        rle["counts"] = rle["counts"].decode()
        objects.append(
            {
                "shape": "cube",
                "size": "small",
                "material": "matte",
                "colour": colour,
                "bbox": [corner, corner, 32, 16],
                "area": 512,
                "segmentation": rle,
            }
        )
    Image.fromarray(pixels).save(folder / "images" / "000000.png")
    scene = {"file_name": "000000.png", "width": 64, "height": 64, "objects": objects}
    (folder / "scenes.json").write_text(json.dumps({"scenes": [scene]}))
    text = "the large blue sphere"
    annotations.append(
        {
            "id": 1,
            "image_id": 1,
            "object": 1,
            "bbox": [32, 32, 32, 16],
            "tokens_positive": [[0, len(text)]],
        }
    )
    images = [
        {
            "id": 1,
            "file_name": "000000.png",
            "caption": text,
            "dataset_name": "tabletop-phrase",
            "original_img_id": 0,
            "tokens_positive_eval": [[[0, len(text)]]],
        },
        {
            "id": 2,
            "file_name": "000000.png",
            "caption": "two green cones",
            "dataset_name": "tabletop-absent",
            "original_img_id": 0,
            "tokens_positive_eval": [],
        },
    ]
    for kind, text, answer, named in questions:
        spans = [[0, len(text)]]
        image = {
            "id": len(images) + 1,
            "file_name": "000000.png",
            "caption": text,
            "dataset_name": f"tabletop-{kind}",
            "original_img_id": 0,
            "tokens_positive_eval": [spans] if named else [],
            "answer": answer,
        }
        images.append(image)
        for o in named:
            annotation = {"image_id": image["id"], "object": o, "tokens_positive": spans}
            annotations.append({**annotation, "id": len(annotations) + 1})
    (folder / "annotations.json").write_text(
        json.dumps({"images": images, "annotations": annotations})
    )


def test_batch(tmp_path: Path, tokenizer: Path, config: Config):
    write_dataset(tmp_path / "set")
    data = Data([str(tmp_path / "set")], tokenizers.load(tokenizer), config, stride=16)
    batch = next(data.ordered(4, 4))
    assert batch.images.shape == (1, 3, 64, 64)
    expected = torch.zeros(4, 4, dtype=torch.long)
    expected[0, :2], expected[2, 2:] = 1, 2
    assert torch.equal(batch.scene.cells[0].reshape(4, 4), expected)
    assert batch.targets.valid.tolist() == [[True], [False]]
    torch.testing.assert_close(batch.targets.boxes[0, 0], torch.tensor([0.75, 0.625, 0.5, 0.25]))
    assert batch.targets.positive[0, 0].tolist() == [False, True, True, True, True, False]
    assert batch.scene.objects.tolist() == [[-1, 0], [-1, -1]]


def test_foreign_captions_name_nothing(tmp_path: Path, tokenizer: Path, config: Config):
    write_dataset(tmp_path / "set")
    data = Data([str(tmp_path / "set")], tokenizers.load(tokenizer), config, stride=16)
    batch = data.random(np.random.default_rng(0), 1, 5, brightness=0.1, foreign=1.0)
    assert {c.kind for c in batch.captions} == {"foreign"}
    assert not batch.targets.valid.any()


def with_questions(config: Config) -> Config:
    network = replace(config.network, answers="clevr", answer_attributes=["small", "red", "blue"])
    return replace(config, network=network)


def test_answers(tmp_path: Path, tokenizer: Path, config: Config):
    write_dataset(tmp_path / "set", QUESTIONS)
    data = Data([str(tmp_path / "set")], tokenizers.load(tokenizer), with_questions(config), 16)
    batch = next(data.ordered(4, 4))
    assert {head: found.tolist() for head, found in batch.answers.items()} == {
        "type": [-1, -1, 0, 2, 1],
        "binary": [-1, -1, 0, -1, -1],
        "reg": [-1, -1, -1, 2, -1],
        "attr": [-1, -1, -1, -1, 2],
    }
    assert batch.targets.valid.sum(1).tolist() == [1, 0, 0, 2, 1]


def test_compared_values_are_those_of_the_attribute_asked_for(
    tmp_path: Path, tokenizer: Path, config: Config
):
    questions = [
        ("compare-attribute", "is the cube the same color as the sphere?", "no", [0, 1]),
        ("compare-attribute", "do the cube and the sphere have the same material?", "yes", [0, 1]),
        ("compare-attribute", "is the cube the same color as the sphere?", "no", [0]),
        ("query-attribute", "what color is the large sphere?", "blue", [1]),
    ]
    write_dataset(tmp_path / "set", questions)
    data = Data([str(tmp_path / "set")], tokenizers.load(tokenizer), with_questions(config), 16)
    batch = next(data.ordered(4, 4))
    # The material is no answer of this network, the third question names one object only.
    none = [-1, -1]
    assert batch.scene.compared.tolist() == [none, none, [1, 2], none, none, none]


def test_typos_keep_what_is_named(tmp_path: Path, tokenizer: Path, config: Config):
    write_dataset(tmp_path / "set")
    tokens = tokenizers.load(tokenizer)
    data = Data([str(tmp_path / "set")], tokens, config, stride=16)
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(20):
        batch = data.random(rng, 1, 1, 0.0, 0.0, typos=1.0)
        caption = batch.captions[0]
        (right,) = [c for c in data.folders[0].captions[0] if c.kind == caption.kind]
        wrong = [i for i, (a, b) in enumerate(zip(right.text, caption.text, strict=True)) if a != b]
        assert len(wrong) <= 2 and 0 not in wrong
        assert all(right.text[i].isalpha() for i in wrong)
        encoding = tokens.encode(caption.text)
        assert caption.ids == encoding.ids
        for spans, found in zip(right.spans.objects, caption.tokens, strict=True):
            covered = {i for t in found for i in range(*encoding.offsets[t])}
            named = {i for b, e in spans for i in range(b, e)}
            assert covered == {i for i in named if caption.text[i] != " "}
        seen.add(caption.text)
    assert len(seen) > 5


def test_a_network_without_answers_reads_questions_as_captions(
    tmp_path: Path, tokenizer: Path, config: Config
):
    write_dataset(tmp_path / "set", QUESTIONS)
    data = Data([str(tmp_path / "set")], tokenizers.load(tokenizer), config, stride=16)
    batch = next(data.ordered(4, 4))
    assert batch.answers == {}
    assert len(batch.captions) == 5


def test_unknown_answers_are_refused(tmp_path: Path, tokenizer: Path, config: Config):
    write_dataset(tmp_path / "set", [("query-attribute", "what is it?", "pink", [])])
    with pytest.raises(
        ValueError, match=r"annotations.json: images, id 3: answer: .* found 'pink'"
    ):
        Data([str(tmp_path / "set")], tokenizers.load(tokenizer), with_questions(config), 16)


def test_captions_have_the_case_of_the_bundle(tmp_path: Path, tokenizer: Path, config: Config):
    lower = replace(config, bundle=BundleConfig(case="lower"))
    loaded = tokenizers.load(tokenizer)

    def asked(name: str, text: str, c: Config):
        write_dataset(tmp_path / name, [("count", text, "2", [0, 1])])
        return Data([str(tmp_path / name)], loaded, c, 16).folders[0].captions[0][2]

    plain = asked("plain", "how many are there?", config)
    capital, lowered = (asked(c.bundle.case, "How many are there?", c) for c in (config, lower))
    assert (capital.text, lowered.text) == ("How many are there?", plain.text)
    assert capital.ids != plain.ids
    assert (lowered.ids, lowered.tokens) == (plain.ids, plain.tokens)
    with pytest.raises(ValueError, match=r"id 3: caption .*: expected 1 characters .* found 2"):
        asked("longer", "İ", lower)


def rle(mask: np.ndarray) -> dict:
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return encoded | {"counts": encoded["counts"].decode()}


def test_object_map_takes_the_pixel_under_each_centre():
    left, right = np.zeros((2, 6)), np.zeros((2, 6))
    left[:, :2], right[0, 4:] = 1, 1
    scene = {"width": 6, "height": 2, "objects": [{"segmentation": rle(m)} for m in (left, right)]}
    assert object_map(scene, (6, 2)).tolist() == [[1, 1, 0, 0, 2, 2], [1, 1, 0, 0, 0, 0]]
    assert object_map(scene, (3, 2)).tolist() == [[1, 0, 2], [1, 0, 0]]
    assert object_map(scene, (2, 1)).tolist() == [[1, 0]]


def test_object_maps_are_made_for_stages_with_masks(
    tmp_path: Path, tokenizer: Path, config: Config
):
    write_dataset(tmp_path / "set")
    folder, loaded = [str(tmp_path / "set")], tokenizers.load(tokenizer)
    assert next(Data(folder, loaded, config, 16).ordered(4, 4)).scene.maps is None
    prepared = tmp_path / "set" / "prepared-64x64-objects.npy"
    assert not prepared.exists()
    masks = replace(config, stages=[StageConfig(), StageConfig(mask_objects=4)])
    maps = next(Data(folder, loaded, masks, 16).ordered(4, 4)).scene.maps
    assert prepared.exists() and maps.shape == (1, 64, 64)
    assert (maps[0, :16, :32] == 1).all() and (maps[0, 32:48, 32:] == 2).all()
    assert (maps > 0).sum() == 2 * 512
