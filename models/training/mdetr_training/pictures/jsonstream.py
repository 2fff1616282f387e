"""JSON files that are larger than what should be in memory, element by element."""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHUNK = 1 << 22
"""Bytes read at a time."""
MOST = 1 << 28
"""Characters that one element may have."""
ARRAY = object()
"""Stands for the begin of an array."""
BLANK = " \t\r\n"


def stream(path: Path) -> Iterator[tuple[str, Any]]:
    """The members of the object in a JSON file, in their order: of a member that is an array ARRAY
    and then each element, all with the member's name; any other value at once. Never holds more of
    the file than an element and a few megabytes.

    Raises ValueError with the file and the place where it is not JSON.
    """
    reader = _Reader(path)
    with path.open("rb") as reader.file:
        reader.expect("{")
        if reader.peek() == "}":
            return
        while True:
            name = reader.value()
            if not isinstance(name, str):
                reader.fail(f"expected a member's name, found {name!r}")
            reader.expect(":")
            if reader.peek() == "[":
                yield name, ARRAY
                for element in reader.elements():
                    yield name, element
            else:
                yield name, reader.value()
            if reader.expect(",}") == "}":
                break
        if reader.peek():
            reader.fail(f"expected the end of the file, found {reader.peek()!r}")


class _Reader:
    """A window on the text of a file that moves on as values are taken."""

    def __init__(self, path: Path):
        self.path = path
        self.file: Any = None
        self.decode = codecs.getincrementaldecoder("utf-8-sig")().decode
        self.scan = json.JSONDecoder().raw_decode
        self.text, self.at, self.before = "", 0, 0
        self.ended = False

    def fail(self, message: str) -> None:
        raise ValueError(f"{self.path}: not JSON at character {self.before + self.at}: {message}")

    def more(self) -> bool:
        """Read on; false at the end of the file."""
        if self.ended:
            return False
        data = self.file.read(CHUNK)
        self.ended = not data
        try:
            read = self.decode(data, self.ended)
        except UnicodeDecodeError as error:
            self.fail(f"expected UTF-8: {error}")
        self.before += self.at
        self.text, self.at = self.text[self.at :] + read, 0
        if len(self.text) > MOST + CHUNK:
            self.fail(f"expected elements of at most {MOST} characters, found a longer one")
        return True

    def peek(self) -> str:
        """The next character that is not blank; empty at the end of the file."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in BLANK:
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def expect(self, characters: str) -> str:
        """Take one of these characters."""
        found = self.peek()
        if not found or found not in characters:
            wanted = " or ".join(characters)
            self.fail(f"expected {wanted}, found {found or 'the end of the file'}")
        self.at += 1
        return found

    def value(self) -> Any:
        """Take a value. One that touches the end of the window may go on after it."""
        self.peek()
        while True:
            try:
                found, end = self.scan(self.text, self.at)
            except json.JSONDecodeError as error:
                if not self.more():
                    self.at = error.pos
                    self.fail(error.msg)
            except RecursionError:
                self.fail("expected fewer levels of brackets")
            else:
                if end < len(self.text) or not self.more():
                    self.at = end
                    return found

    def elements(self) -> Iterator[Any]:
        """Take an array, element by element."""
        self.expect("[")
        if self.peek() == "]":
            self.at += 1
            return
        while True:
            yield self.value()
            if self.expect(",]") == "]":
                return
