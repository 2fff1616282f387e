#!/usr/bin/env python3
"""Read what was found as JSON, from mdetr2json through an appsink.

Prints one line for each frame and query: the time of the frame, the query's id, and how many
objects were found, "absent", or the answer to a question. The pipeline ends with an appsink, from
which the program takes one JSON line for each frame.
"""

import argparse
import json
import signal
import sys

try:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstApp", "1.0")
    from gi.repository import GLib, Gst, GstApp  # noqa: F401 (GstApp brings the methods of appsink)
except (ImportError, ValueError) as error:
    sys.exit(
        f"{sys.argv[0]}: {error}. On Debian and Ubuntu install python3-gi, gir1.2-gstreamer-1.0 "
        "and gir1.2-gst-plugins-base-1.0, and run this with /usr/bin/python3"
    )


def summary(query):
    """What one query found in one frame, in a few words."""
    if "answer" in query:
        return f"answer {query['answer']['text']} ({query['answer']['score']:.2f})"
    if not query["present"]:
        return "absent"
    scores = ", ".join(f"{detection['score']:.2f}" for detection in query["detections"])
    return f"{len(query['detections'])} found ({scores})"


def frames(pipeline, sink):
    """The JSON objects that the pipeline gives, until it ends; an error in it ends the program."""
    bus = pipeline.get_bus()
    while True:
        sample = sink.try_pull_sample(Gst.SECOND // 2)
        if sample is not None:
            buffer = sample.get_buffer()
            yield json.loads(buffer.extract_dup(0, buffer.get_size()))
            continue
        message = bus.pop_filtered(Gst.MessageType.ERROR)
        if message is not None:
            sys.exit(f"{message.src.get_name()}: {message.parse_error().gerror.message}")
        if sink.is_eos():
            return


def set_queries(element, texts):
    """Sets several queries at once, as text: PyGObject cannot make GStreamer's arrays."""

    def quoted(text):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    Gst.util_set_object_arg(element, "queries", f"<{', '.join(map(quoted, texts))}>")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--query",
        action="append",
        metavar="SENTENCE",
        help="may be repeated [all objects]",
    )
    parser.add_argument(
        "--source",
        default="tabletopsrc num-buffers=30",
        help="elements that give raw video, such as 'v4l2src ! videoconvert' [%(default)s]",
    )
    return parser.parse_args()


def main():
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # ends quietly if the reader of the output does
    arguments = parse_arguments()
    Gst.init(None)
    try:
        pipeline = Gst.parse_launch(
            f"{arguments.source} ! mdetr name=grounding ! mdetr2json "
            "! appsink name=lines max-buffers=4"
        )
    except GLib.Error as error:
        sys.exit(
            f"cannot make the pipeline: {error.message}. GST_PLUGIN_PATH must name the directory "
            "of libgstmdetr.so, and --source must give raw video"
        )
    set_queries(pipeline.get_by_name("grounding"), arguments.query or ["all objects"])

    pipeline.set_state(Gst.State.PLAYING)
    try:
        for frame in frames(pipeline, pipeline.get_by_name("lines")):
            for query in frame["queries"]:
                seconds = frame.get("pts_ns", 0) / 1e9
                print(f"{seconds:.3f} s  {query['id']}  {summary(query)}", flush=True)
    except KeyboardInterrupt:
        pass
    finally:
        pipeline.set_state(Gst.State.NULL)


if __name__ == "__main__":
    main()
