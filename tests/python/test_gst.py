"""Results on GStreamer's buffers, read under PyGObject."""

import json

import gi
import mdetr.gst
import pytest
from conftest import reported

import mdetr

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import Gst, GstApp  # noqa: E402, F401 - appsink has its methods from the latter

FRAMES = 4
SOURCE = f"tabletopsrc seed=3 num-buffers={FRAMES} ! video/x-raw,width=320,height=240 ! "


@pytest.fixture(scope="module", autouse=True)
def gst():
    Gst.init(None)


def play(description, pad, read, queries=None):
    """Runs a pipeline to its end: what `read` makes of each buffer at a pad, as element.pad.

    `queries` are those of the element named several.
    """
    pipeline = Gst.parse_launch(description)
    if queries:
        Gst.util_set_object_arg(pipeline.get_by_name("several"), "queries", queries)
    element, _, pad = pad.partition(".")
    found = []

    def probe(_pad, info):
        try:
            found.append(read(info.get_buffer()))
        except Exception as error:  # an exception in a probe is printed only
            found.append(error)
        return Gst.PadProbeReturn.OK

    pipeline.get_by_name(element).get_static_pad(pad).add_probe(Gst.PadProbeType.BUFFER, probe)
    try:
        assert pipeline.set_state(Gst.State.PLAYING) != Gst.StateChangeReturn.FAILURE
        end = Gst.MessageType.EOS | Gst.MessageType.ERROR
        message = pipeline.get_bus().timed_pop_filtered(120 * Gst.SECOND, end)
        assert message is not None, "the pipeline does not end"
        assert message.type == Gst.MessageType.EOS, message.parse_error()
    finally:
        pipeline.set_state(Gst.State.NULL)
    for result in found:
        if isinstance(result, Exception):
            raise result
    assert len(found) == FRAMES
    return found


def lines_and_results(description, tmp_path, size=None, queries=None):
    """What mdetr2json writes of each frame, and what is read of it before."""
    file = tmp_path / "lines.jsonl"
    results = play(
        f"{description} ! mdetr2json name=json ! filesink location={file}",
        "json.sink",
        lambda buffer: mdetr.gst.read(buffer, size),
        queries,
    )
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    return list(zip(lines, results, strict=True))


def test_results_are_those_of_the_json(tmp_path):
    description = SOURCE + "mdetr name=several engine=tract ! mdetrtrack"
    queries = '<"all objects", "a purple cone", "how many cubes are there?">'
    for line, results in lines_and_results(description, tmp_path, queries=queries):
        (found,) = results
        assert found.element == "several"
        assert found.age_ms == line["age_ms"]
        assert found["q1"].detections[0].mask.to_numpy().shape == (240, 320)
        assert found["q3"].answer is not None
        told = reported(found.to_dict())
        del told["element"]
        assert {**line, **told} == line
    assert found["q1"].detections[0].track is not None


def test_several_elements_and_another_size(tmp_path):
    description = (
        SOURCE + 'mdetr name=near engine=tract query="all objects" '
        '! mdetr name=far engine=tract query="a sphere" ! videoscale '
        "! video/x-raw,width=640,height=480"
    )
    for line, results in lines_and_results(description, tmp_path, (640, 480)):
        assert [found.element for found in results] == ["near", "far"]
        told = [reported(found.to_dict()) for found in results]
        for found, query in zip(told, line["queries"], strict=True):
            (own,) = found["queries"]
            assert {**query, **own} == query
            assert found["size"] == line["size"] == [640, 480]
            assert (found["element"], found["revision"]) == (query["element"], query["revision"])


def test_sizes_are_those_of_what_was_looked_at():
    description = (
        SOURCE + 'mdetr engine=tract query="all objects" ! videoscale '
        "! video/x-raw,width=640,height=480 ! fakesink name=sink"
    )
    for found in play(description, "sink.sink", mdetr.gst.read):
        assert found[0].size == (320, 240)


def both(buffer):
    return mdetr.gst.read(buffer), mdetr.gst.regions(buffer)


def edges(box):
    return box.x, box.y, box.x + box.width, box.y + box.height


def test_regions_say_the_same_of_what_was_found():
    description = SOURCE + "mdetr name=several engine=tract ! fakesink"
    queries = '<"all objects", "a purple cone", "[a sphere] and a cube">'
    for (found,), regions in play(description, "several.src", both, queries):
        present = [result for result in found.queries if result.present]
        assert [(r.id, r.text) for r in regions] == [(r.id, r.text) for r in present]
        assert present
        for region, result in zip(regions, present, strict=True):
            for near, exact in zip(region.detections, result.detections, strict=True):
                assert (near.score, near.phrases) == (exact.score, exact.phrases)
                corners = zip(edges(near.box), edges(exact.box), strict=True)
                assert all(abs(whole - edge) <= 1 for whole, edge in corners)
                assert all(side == int(side) for side in near.box)


def test_regions_have_tracks():
    description = SOURCE + 'mdetr engine=tract query="all objects" ! mdetrtrack name=t ! fakesink'
    for (found,), regions in play(description, "t.src", both):
        tracks = [detection.track for detection in found["q1"].detections]
        assert [detection.track for detection in regions[0].detections] == tracks
    assert tracks[0] is not None


def test_buffers_without_results():
    """The source's own regions are not of mdetr."""
    for read in (mdetr.gst.read, mdetr.gst.regions):
        assert play(SOURCE + "fakesink name=sink", "sink.sink", read) == [()] * FRAMES
        assert read(Gst.Buffer.new()) == ()


def test_what_is_no_buffer_is_refused():
    for wrong in (None, 3, "buffer", [], Gst.Structure.new_empty("buffer")):
        with pytest.raises(mdetr.MdetrError, match="expected a GstBuffer of PyGObject, found"):
            mdetr.gst.read(wrong)
    with pytest.raises(ValueError, match="found 0x8"):
        play(
            SOURCE + 'mdetr engine=tract query="a cube" ! fakesink name=sink',
            "sink.sink",
            lambda buffer: mdetr.gst.read(buffer, (0, 8)),
        )
