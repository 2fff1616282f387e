"""Byte-level BPE in RoBERTa's conventions, and character spans to tokens."""

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Encoding, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

SPECIAL_TOKENS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
PAD_ID = 1


def train(captions: Iterable[str], vocab_size: int) -> Tokenizer:
    """A tokenizer whose merges are learnt from the captions."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        sep=("</s>", 2), cls_token=("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    return tokenizer


def load(path: Path) -> Tokenizer:
    """Read a tokenizer.json."""
    return Tokenizer.from_file(str(path))


def tokens_of_span(encoding: Encoding, begin: int, end: int) -> range:
    """The tokens that cover the characters [begin, end).

    Trimmed offsets leave spaces without a token, so a missing end is looked for up to two
    characters further inside; a span that still has none is empty.
    """
    first = next((t for c in (begin, begin + 1, begin + 2) if (t := token(encoding, c))), None)
    last = next((t for c in (end - 1, end - 2, end - 3) if (t := token(encoding, c))), None)
    if first is None or last is None:
        return range(0)
    return range(first, last + 1)


def token(encoding: Encoding, char: int) -> int | None:
    """The token that covers a character. Never 0, which is <s>."""
    return encoding.char_to_token(char) if char >= 0 else None
