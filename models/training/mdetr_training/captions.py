"""Tokenised captions and what they name."""

from dataclasses import dataclass, field, replace

import numpy as np
from tokenizers import Encoding, Tokenizer

from .tokenizer import tokens_of_span


@dataclass
class Spans:
    """Code points of a caption, half open."""

    objects: list[list[list[int]]]
    """Of the words that name each object."""
    phrases: list[list[list[int]]]
    """Of each phrase that grounds something."""

    def tokens(self, encoding: Encoding) -> tuple[list[list[int]], list[list[int]]]:
        """The tokens of each object and of each phrase."""

        def under(spans: list[list[int]]) -> list[int]:
            return sorted({t for b, e in spans for t in tokens_of_span(encoding, b, e)})

        return [under(s) for s in self.objects], [under(s) for s in self.phrases]


@dataclass
class Caption:
    """A tokenised caption and the scene objects that it names."""

    text: str
    kind: str
    ids: list[int]
    objects: list[int]
    tokens: list[list[int]]
    """Per named object, the tokens that name it."""
    phrases: list[list[int]]
    """Per phrase that grounds something, its tokens; the first is the target of a relation."""
    answer: dict[str, int] = field(default_factory=dict)
    """Class by answer head, of the heads that the question asks."""
    compared: tuple[int, int] | None = None
    """Classes of the attribute head that the two objects have whose attribute is compared."""
    roles: list[tuple[int, int]] = field(default_factory=list)
    """Per named object, whether it answers to a question's first and second phrase; empty if the
    caption asks nothing."""
    spans: Spans | None = None
    """Where objects and phrases are named in the text; None if nowhere."""

    def with_typo(self, rng: np.random.Generator, tokenizer: Tokenizer) -> "Caption":
        """The same with a wrong letter, or two in the wrong order, in one word."""
        letters = list(self.text)
        inside = [i for i in range(1, len(letters) - 1) if self.text[i - 1 : i + 2].isalpha()]
        if not inside or self.spans is None:
            return self
        i = rng.choice(inside)
        if rng.random() < 0.5:
            letters[i], letters[i + 1] = letters[i + 1], letters[i]
        else:
            letters[i] = chr(ord("a") + rng.integers(26))
        text = "".join(letters)
        encoding = tokenizer.encode(text)
        tokens, phrases = self.spans.tokens(encoding)
        return replace(self, text=text, ids=encoding.ids, tokens=tokens, phrases=phrases)
