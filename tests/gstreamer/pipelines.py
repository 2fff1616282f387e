"""Pipelines of a few frames of the tabletop world."""

import json
from pathlib import Path

from reader import Gst

MODEL = Path(__file__).resolve().parents[2] / "models/tabletop"
WIDTH, HEIGHT = 320, 240
CAPS = f"video/x-raw,format=RGB,width={WIDTH},height={HEIGHT},framerate=25/1"
PATIENCE = 120 * Gst.SECOND


def source(frames, seed=4):
    return f"tabletopsrc seed={seed} num-buffers={frames} ! {CAPS}"


def mdetr(query, more=""):
    return f'mdetr model="{MODEL}" query="{query}" {more}'


def run(description, watch=(), push=()):
    """Plays to the end.

    `watch`: calls each function (name of an element: function) with the buffers that leave the
    element. What it raises is raised at the end. `push`: buffers for the appsrc of that name.
    """
    pipeline = Gst.parse_launch(description)
    failures = []

    def probe(_, info, function):
        try:
            function(info.get_buffer())
        except Exception as error:
            failures.append(error)
        return Gst.PadProbeReturn.OK

    for name, function in dict(watch).items():
        pad = pipeline.get_by_name(name).get_static_pad("src")
        pad.add_probe(Gst.PadProbeType.BUFFER, probe, function)
    pipeline.set_state(Gst.State.PLAYING)
    for buffer in push:
        pipeline.get_by_name("push").emit("push-buffer", buffer)
    if push:
        pipeline.get_by_name("push").emit("end-of-stream")
    kinds = Gst.MessageType.EOS | Gst.MessageType.ERROR
    message = pipeline.get_bus().timed_pop_filtered(PATIENCE, kinds)
    pipeline.set_state(Gst.State.NULL)
    assert message, f"no end: {description}"
    assert message.type == Gst.MessageType.EOS, f"{description}: {message.parse_error()}"
    for failure in failures:
        raise failure


def pixels(buffer):
    return buffer.extract_dup(0, buffer.get_size())


def line(buffer):
    """A line of mdetr2json."""
    return json.loads(pixels(buffer))


def frame(number):
    """A grey frame of CAPS at 25 frames per second."""
    buffer = Gst.Buffer.new_wrapped(bytes([128]) * (WIDTH * HEIGHT * 3))
    buffer.pts = number * Gst.SECOND // 25
    buffer.duration = Gst.SECOND // 25
    return buffer
