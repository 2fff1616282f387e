#!/usr/bin/env python3
"""Change what is looked for while the video plays.

Each line typed on standard input replaces the queries; a semicolon separates several. The new set
is encoded in the background and takes over between two frames. The program prints when that
happens, and which queries find something from then on. The end of the input ends the program.
"""

import argparse
import json
import sys
import threading

try:
    import gi

    gi.require_version("Gst", "1.0")
    from gi.repository import GLib, Gst
except (ImportError, ValueError) as error:
    sys.exit(
        f"{sys.argv[0]}: {error}. On Debian and Ubuntu install python3-gi and "
        "gir1.2-gstreamer-1.0, and run this with /usr/bin/python3"
    )


def send_queries(pipeline, texts):
    """Asks mdetr for other queries, by an event that travels upstream from the sink."""

    def quoted(text):
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    array = f"<{', '.join(map(quoted, texts))}>"
    structure = Gst.Structure.new_from_string(f"mdetr-set-queries, queries={array}")
    event = Gst.Event.new_custom(Gst.EventType.CUSTOM_UPSTREAM, structure)
    if not pipeline.send_event(event):
        print("the queries were not taken; the old ones stay", file=sys.stderr)


class Program:
    def __init__(self, pipeline):
        self.pipeline = pipeline
        self.loop = GLib.MainLoop()
        self.failure = None
        self.revision = 0
        self.present = {}

    def read_standard_input(self):
        """Runs in a thread of its own, as it waits for the user."""
        for line in sys.stdin:
            texts = [text.strip() for text in line.split(";") if text.strip()]
            if texts:
                GLib.idle_add(send_queries, self.pipeline, texts)
        # Half a second for the last queries to be answered.
        GLib.timeout_add(500, self.loop.quit)

    def on_line(self, sink, buffer, pad):
        """One JSON object for each frame."""
        frame = json.loads(buffer.extract_dup(0, buffer.get_size()))
        if frame["revision"] == 0:
            return  # no result yet
        if frame["revision"] != self.revision:
            self.revision, self.present = frame["revision"], {}
            texts = "; ".join(query["text"] for query in frame["queries"])
            print(f"queries of revision {self.revision}: {texts}", flush=True)
        for query in frame["queries"]:
            present = query.get("present", "answer" in query)
            if self.present.get(query["id"]) != present:
                self.present[query["id"]] = present
                print(f"  {query['text']}: {'found' if present else 'absent'}", flush=True)

    def on_message(self, bus, message):
        if message.type == Gst.MessageType.WARNING:  # queries that cannot be used
            print(message.parse_warning().gerror.message, file=sys.stderr, flush=True)
        elif message.type == Gst.MessageType.ERROR:
            self.failure = f"{message.src.get_name()}: {message.parse_error().gerror.message}"
            self.loop.quit()
        elif message.type == Gst.MessageType.EOS:
            self.loop.quit()

    def run(self):
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message", self.on_message)
        self.pipeline.get_by_name("lines").connect("handoff", self.on_line)
        threading.Thread(target=self.read_standard_input, daemon=True).start()
        self.pipeline.set_state(Gst.State.PLAYING)
        try:
            self.loop.run()
        except KeyboardInterrupt:
            pass
        finally:
            self.pipeline.set_state(Gst.State.NULL)
        return self.failure


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--query", default="all objects", help="first query [%(default)s]")
    parser.add_argument(
        "--source",
        default="tabletopsrc is-live=true",
        help="elements that give live raw video, such as 'v4l2src ! videoconvert' [%(default)s]",
    )
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    Gst.init(None)
    try:
        pipeline = Gst.parse_launch(
            f"{arguments.source} ! mdetr name=grounding mode=live ! mdetr2json "
            "! fakesink name=lines signal-handoffs=true"
        )
    except GLib.Error as error:
        sys.exit(
            f"cannot make the pipeline: {error.message}. GST_PLUGIN_PATH must name the directory "
            "of libgstmdetr.so, and --source must give raw video"
        )
    pipeline.get_by_name("grounding").set_property("query", arguments.query)
    sys.exit(Program(pipeline).run())


if __name__ == "__main__":
    main()
