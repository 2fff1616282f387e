"""Byte-level BPE in RoBERTa's conventions, and character spans to tokens."""

import json
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from tokenizers import (
    AddedToken,
    Encoding,
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    processors,
    trainers,
)

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


def extended(tokenizer: Tokenizer, captions: Iterable[str], vocab_size: int) -> Tokenizer:
    """The tokenizer with further merges, learnt from captions, after its own: ids stay what they
    are, and what was one token stays one."""
    content = json.loads(tokenizer.to_str())
    vocab, merges = content["model"]["vocab"], content["model"]["merges"]
    counts: Counter[tuple[str, ...]] = Counter()
    for word, count in _words(tokenizer, captions).items():
        counts[tuple(t.value for t in tokenizer.model.tokenize(word))] += count
    while len(vocab) < vocab_size:
        pairs: Counter[tuple[str, str]] = Counter()
        for tokens, count in counts.items():
            for pair in pairwise(tokens):
                pairs[pair] += count
        if not pairs:
            break
        pair = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(list(pair))
        vocab.setdefault("".join(pair), len(vocab))
        merged: Counter[tuple[str, ...]] = Counter()
        for tokens, count in counts.items():
            merged[_merged(tokens, pair)] += count
        counts = merged
    return Tokenizer.from_str(json.dumps(content))


def _words(tokenizer: Tokenizer, captions: Iterable[str]) -> Counter[str]:
    """How often each word occurs, as byte-level BPE writes it."""
    split = tokenizer.pre_tokenizer.pre_tokenize_str
    return Counter(word for caption in captions for word, _ in split(caption))


def _merged(tokens: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    """A word's tokens with each occurrence of a pair joined."""
    joined: list[str] = []
    for token in tokens:
        if joined and (joined[-1], token) == pair:
            joined[-1] += token
        else:
            joined.append(token)
    return tuple(joined)


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


def roberta(path: Path) -> Tokenizer:
    """RoBERTa's tokenizer from a tokenizer.json, from a vocab.json with merges.txt beside it, or
    from a folder with either, in RoBERTa's conventions whatever the file says: byte-level BPE,
    no space put before the first word, offsets without spaces, <s> ... </s>."""
    folder = path if path.is_dir() else path.parent
    whole, parts = folder / "tokenizer.json", (folder / "vocab.json", folder / "merges.txt")
    if path.is_file() and path.name not in (parts[0].name, parts[1].name):
        whole = path
    try:
        if whole.is_file() and path not in parts:
            tokenizer = Tokenizer.from_file(str(whole))
        elif all(part.is_file() for part in parts):
            whole = parts[0]
            tokenizer = Tokenizer(models.BPE.from_file(*map(str, parts)))
        else:
            raise FileNotFoundError(
                f"{path}: expected tokenizer.json, or vocab.json and merges.txt; "
                "they come with roberta-base"
            )
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{whole}: expected a tokenizer, found: {error}") from error
    if not isinstance(tokenizer.model, models.BPE):
        kind = type(tokenizer.model).__name__
        raise ValueError(f"{whole}: expected byte-level BPE, found {kind}; use roberta-base's")
    for i, token in enumerate(SPECIAL_TOKENS[:-1]):
        if tokenizer.token_to_id(token) != i:
            found = tokenizer.token_to_id(token)
            raise ValueError(
                f"{whole}: {token}: expected id {i}, found {found}; use roberta-base's"
            )
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.normalizer = None
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.RobertaProcessing(
        sep=("</s>", 2), cls_token=("<s>", 0), trim_offsets=True, add_prefix_space=False
    )
    mask = AddedToken("<mask>", lstrip=True, special=True)
    tokenizer.add_special_tokens([*SPECIAL_TOKENS[:-1], mask])
    return tokenizer


def byte_level(tokens: int = 0) -> Tokenizer:
    """A tokenizer without merges: one token for each byte, and as many more that stand for nothing
    as make `tokens`."""
    tokenizer = train([], len(SPECIAL_TOKENS) + 256)
    more = tokens - tokenizer.get_vocab_size()
    tokenizer.add_tokens([f"<filler {i}>" for i in range(more)])
    return tokenizer
