#!/usr/bin/env python3
"""Read detections from the metadata on each frame, in a pad probe.

Prints one line for each detection: the time of the frame, the query's id, the words found, the
score, and the box as left, top, width and height in pixels. A program that also needs to know which
queries found nothing reads the JSON of mdetr2json instead: see read_json.py.
"""

import argparse
import signal
import sys

try:
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstVideo", "1.0")
    from gi.repository import GLib, Gst, GstVideo
except (ImportError, ValueError) as error:
    sys.exit(
        f"{sys.argv[0]}: {error}. On Debian and Ubuntu install python3-gi, gir1.2-gstreamer-1.0 "
        "and gir1.2-gst-plugins-base-1.0, and run this with /usr/bin/python3"
    )

# Region ids are unique on a frame and small; a frame with more regions than this is not expected.
MAX_REGION_ID = 10_000


def regions(buffer):
    """All regions of interest on a buffer, whichever element attached them."""
    kind = GstVideo.video_region_of_interest_meta_api_get_type()
    left = buffer.get_n_meta(kind)
    for region_id in range(MAX_REGION_ID):
        if left == 0:
            return
        region = GstVideo.buffer_get_video_region_of_interest_meta_id(buffer, region_id)
        if region is not None:
            left -= 1
            yield region


def print_detections(pad, info):
    buffer = info.get_buffer()
    for region in regions(buffer):
        if region.get_param("mdetr") is None:
            continue  # another element attached it
        detection = region.get_param("detection")
        print(
            f"{buffer.pts / Gst.SECOND:.3f} s",
            GLib.quark_to_string(region.roi_type),
            repr(detection.get_value("label")),
            f"{detection.get_value('confidence'):.2f}",
            f"[{region.x}, {region.y}, {region.w}, {region.h}]",
            sep="  ",
            flush=True,
        )
    return Gst.PadProbeReturn.OK


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--query", default="all objects", help="what to look for [%(default)s]")
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
        pipeline = Gst.parse_launch(f"{arguments.source} ! mdetr name=grounding ! fakesink")
    except GLib.Error as error:
        sys.exit(
            f"cannot make the pipeline: {error.message}. GST_PLUGIN_PATH must name the directory "
            "of libgstmdetr.so, and --source must give raw video"
        )
    grounding = pipeline.get_by_name("grounding")
    grounding.set_property("query", arguments.query)
    grounding.get_static_pad("src").add_probe(Gst.PadProbeType.BUFFER, print_detections)

    pipeline.set_state(Gst.State.PLAYING)
    try:
        end = Gst.MessageType.EOS | Gst.MessageType.ERROR
        message = None
        while message is None:  # wakes up now and then, so that Ctrl+C is noticed
            message = pipeline.get_bus().timed_pop_filtered(Gst.SECOND // 2, end)
        if message.type == Gst.MessageType.ERROR:
            sys.exit(f"{message.src.get_name()}: {message.parse_error().gerror.message}")
    except KeyboardInterrupt:
        pass
    finally:
        pipeline.set_state(Gst.State.NULL)


if __name__ == "__main__":
    main()
