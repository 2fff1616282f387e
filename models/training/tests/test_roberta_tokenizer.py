"""RoBERTa's tokenizer files in each of their forms."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import RobertaTokenizer

from mdetr_training import tokenizer as tokenizers

CAPTION = "the red car, left"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """vocab.json and merges.txt alone, learnt from a caption."""
    tokenizers.train([CAPTION] * 9, 300).model.save(str(tmp_path))
    return tmp_path


def check(tokenizer: Tokenizer) -> None:
    """RoBERTa's conventions."""
    encoding = tokenizer.encode(CAPTION)
    assert encoding.ids[0] == 0 and encoding.ids[-1] == 2
    assert encoding.tokens[1:5] == ["the", "Ġred", "Ġcar", ","]
    assert encoding.offsets[1:5] == [(0, 3), (4, 7), (8, 11), (11, 12)]
    assert tokenizer.encode(" the").tokens[1:-1] != tokenizer.encode("the").tokens[1:-1]
    assert tokenizer.encode("The").ids != tokenizer.encode("the").ids
    assert len(tokenizer.encode("car " * 600).ids) > 600
    assert tokenizer.encode("<s>").ids == [0, 0, 2]
    assert tokenizer.decode(encoding.ids) == CAPTION


@pytest.mark.parametrize("name", ["", "vocab.json", "merges.txt"])
def test_vocabulary_and_merges(folder: Path, name: str):
    check(tokenizers.roberta(folder / name))


@pytest.mark.parametrize("name", ["", "tokenizer.json", "renamed.json"])
def test_one_file_in_other_conventions(folder: Path, name: str):
    other = tokenizers.roberta(folder)
    other.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    other.enable_truncation(512)
    other.enable_padding(length=20)
    other.save(str(folder / (name or "tokenizer.json")))
    (folder / "merges.txt").unlink()
    found = tokenizers.roberta(folder / name)
    check(found)
    found.save(str(folder / "again.json"))
    check(Tokenizer.from_file(str(folder / "again.json")))


@pytest.mark.parametrize(
    "text",
    [
        CAPTION,
        "  two  spaces ",
        "Ünïcode 日本 🙂",
        "x </s> y",
        "tab\tand\nline",
        "",
    ],
)
def test_encodings_equal_those_of_transformers(folder: Path, text: str):
    expected = RobertaTokenizer.from_pretrained(folder)(text, return_offsets_mapping=True)
    found = tokenizers.roberta(folder).encode(text)
    assert found.ids == expected["input_ids"]
    assert found.offsets == expected["offset_mapping"]


def test_other_tokenizers_are_refused(tmp_path: Path):
    path = tmp_path / "tokenizer.json"
    with pytest.raises(FileNotFoundError, match=r"expected tokenizer.json, or vocab.json and"):
        tokenizers.roberta(tmp_path)
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"tokenizer.json: expected a tokenizer, found"):
        tokenizers.roberta(path)
    Tokenizer(models.WordLevel({"<s>": 0, "<unk>": 1}, unk_token="<unk>")).save(str(path))
    with pytest.raises(ValueError, match="expected byte-level BPE, found WordLevel"):
        tokenizers.roberta(path)
    Tokenizer(models.BPE({"<pad>": 0, "<s>": 1}, [])).save(str(path))
    with pytest.raises(ValueError, match="<s>: expected id 0, found 1"):
        tokenizers.roberta(path)


def test_a_byte_level_tokenizer_covers_every_text():
    tokenizer = tokenizers.byte_level()
    assert tokenizer.get_vocab_size() == 261
    assert len(tokenizer.encode("ein Käse").ids) == 2 + 9
