#!/usr/bin/env python3
"""Read mdetr's JSON lines from a pipe, without GStreamer, and tell when something comes or goes.

Prints a line when a query begins to find something ("appeared"), when it no longer does ("gone"),
and when the answer to a question changes. It reads what mdetr2json writes in a pipeline that ends
with fdsink, and what mdetr detect --json writes.
"""

import argparse
import json
import signal
import sys

SCHEMA = "mdetr/1"


def state(query):
    """What is compared from frame to frame, and how it is told."""
    if "answer" in query:
        return f"the answer is {query['answer']['text']}"
    return "appeared" if query["present"] else "gone"


def time_of(frame):
    """The frame's wall-clock time, else its time in the stream, else its number."""
    if "utc" in frame:
        return frame["utc"]
    if "pts_ns" in frame:
        return f"{frame['pts_ns'] / 1e9:.3f} s"
    return f"frame {frame['frame']}"


def changes(lines):
    """Texts about what changed, and about lines that cannot be read."""
    known = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            frame = json.loads(line)
            schema = frame.get("schema")
        except (ValueError, AttributeError) as error:
            print(f"line {number}: not a JSON object: {error}", file=sys.stderr)
            continue
        if schema != SCHEMA:
            print(
                f"line {number}: expected schema {SCHEMA}, found {schema}",
                file=sys.stderr,
            )
            continue
        for query in frame["queries"]:
            # Ids are unique within one mdetr element; several elements name themselves.
            key = (frame["source"], query.get("element"), query["id"])
            now = state(query)
            if known.get(key, "gone") != now:
                yield f"{time_of(frame)}  {frame['source']}  {query['text']}: {now}"
            known[key] = now


def main():
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # ends quietly if the reader of the output does
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("file", nargs="?", metavar="FILE.jsonl", help="[standard input]")
    arguments = parser.parse_args()
    try:
        lines = open(arguments.file, encoding="utf-8") if arguments.file else sys.stdin
        for text in changes(lines):
            print(text, flush=True)
    except OSError as error:
        sys.exit(f"{arguments.file or 'standard input'}: cannot be read: {error.strerror}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
