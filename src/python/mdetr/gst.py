"""What GStreamer's elements found, read from buffers under PyGObject.

def probe(pad, info):
    for grounding in mdetr.gst.read(info.get_buffer()):
        for result in grounding.queries:
            print(result.id, result.present, result.detections)
    return Gst.PadProbeReturn.OK
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from functools import cache
from typing import Any

from . import _native
from .errors import MdetrError
from .results import Box, Detection, Grounding, Phrase, QueryResult, Span

NAME = b"GstMdetrGroundingMeta"
"""Name of the metadata that has results whole."""

_MAX_REGION_ID = 10_000
"""Ids of regions are unique on a buffer and small."""


def read(buffer: Any, size: tuple[int, int] | None = None) -> tuple[Grounding, ...]:
    """The results on a buffer, one for each `mdetr` that it came through, in their order.

    Absent queries, answers and masks are among them.

    Args:
        buffer: a Gst.Buffer.
        size: width and height of the frame: boxes and masks are scaled to it. By default they are
            in pixels of the frame that was looked at, whose size is in the result.

    Raises:
        MdetrError: it is no Gst.Buffer of PyGObject, or the metadata is of another version.
    """
    return tuple(_native.read_carried(json, size) for json in _carried(buffer))


def regions(buffer: Any) -> tuple[QueryResult, ...]:
    """What the regions of interest say that `mdetr` attached: one result for each query found.

    For buffers that have no whole results (see `read`), as those that another process sent. Boxes
    are in whole pixels of the frame. Absent queries, answers and masks are not among regions.

    Args:
        buffer: a Gst.Buffer.
    """
    import gi

    gi.require_version("GstVideo", "1.0")
    from gi.repository import GLib, GstVideo

    found: dict[tuple[str, str], tuple[str, list[Detection]]] = {}
    left = buffer.get_n_meta(GstVideo.video_region_of_interest_meta_api_get_type())
    for region_id in range(_MAX_REGION_ID):
        if left == 0:
            break
        region = GstVideo.buffer_get_video_region_of_interest_meta_id(buffer, region_id)
        if region is None:
            continue
        left -= 1
        ours, general = region.get_param("mdetr"), region.get_param("detection")
        if ours is None or general is None:
            continue
        detection = Detection(
            Box(float(region.x), float(region.y), float(region.w), float(region.h)),
            general.get_value("confidence"),
            tuple(_phrases(ours)),
            general.get_value("track") if general.has_field("track") else None,
            hidden_ms=ours.get_value("hidden_ms") if ours.has_field("hidden_ms") else None,
        )
        key = (ours.get_value("element"), GLib.quark_to_string(region.roi_type))
        found.setdefault(key, (ours.get_value("query"), []))[1].append(detection)
    return tuple(
        QueryResult(query_id, text, tuple(detections))
        for (_, query_id), (text, detections) in found.items()
    )


def _phrases(structure: Any) -> Iterator[Phrase]:
    library = _library()
    address = _address(structure, "GstStructure")

    def values(array: Any) -> Iterator[Any]:
        for index in range(library.array_size(array)):
            yield library.array_value(array, index)

    texts, spans, scores = (
        values(library.field(address, name)) for name in (b"phrases", b"spans", b"scores")
    )
    for text, span, score in zip(texts, spans, scores, strict=True):
        start, end = map(library.uint, values(span))
        yield Phrase(library.string(text).decode(), Span(start, end), library.double(score))


class _Value(ctypes.Structure):
    """GValue."""

    _fields_ = (("type", ctypes.c_size_t), ("data", ctypes.c_uint64 * 2))


class _Library:
    """The functions of GStreamer and GLib that read what PyGObject does not.

    It gives the first metadata of a name only, and a buffer has one for each element; and it knows
    no arrays in arrays.
    """

    def __init__(self) -> None:
        gst = ctypes.CDLL("libgstreamer-1.0.so.0")
        gobject = ctypes.CDLL("libgobject-2.0.so.0")
        glib = ctypes.CDLL("libglib-2.0.so.0")
        pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
        value = ctypes.POINTER(_Value)

        def function(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
            found = getattr(library, name)
            found.restype, found.argtypes = result, arguments
            return found

        states = ctypes.POINTER(pointer)
        iterate = "gst_buffer_iterate_meta_filtered"
        self.iterate = function(gst, iterate, pointer, pointer, states, size)
        self.structure = function(gst, "gst_custom_meta_get_structure", pointer, pointer)
        self.field = function(gst, "gst_structure_get_value", value, pointer, text)
        self.array_size = function(gst, "gst_value_array_get_size", ctypes.c_uint, value)
        self.array_value = function(gst, "gst_value_array_get_value", value, value, ctypes.c_uint)
        self.string = function(gobject, "g_value_get_string", text, value)
        self.uint = function(gobject, "g_value_get_uint", ctypes.c_uint, value)
        self.double = function(gobject, "g_value_get_double", ctypes.c_double, value)
        self.type_of_name = function(gobject, "g_type_from_name", size, text)
        self.bytes_type = function(gobject, "g_bytes_get_type", size)
        self.init = function(gobject, "g_value_init", value, value, size)
        self.transform = function(gobject, "g_value_transform", ctypes.c_int, value, value)
        self.boxed = function(gobject, "g_value_get_boxed", pointer, value)
        self.unset = function(gobject, "g_value_unset", None, value)
        sizes = ctypes.POINTER(size)
        self.bytes_data = function(glib, "g_bytes_get_data", pointer, pointer, sizes)


@cache
def _library() -> _Library:
    return _Library()


def _address(boxed: Any, kind: str) -> int:
    """Where a boxed value of PyGObject lies: its hash, which its representation has too."""
    address = hash(boxed) if boxed.__hash__ else 0
    if f"({kind} at {address:#x})" not in repr(boxed):
        found = f"{type(boxed).__module__}.{type(boxed).__qualname__}"
        raise MdetrError(f"expected a {kind} of PyGObject, found {found}")
    return address


def _carried(buffer: Any) -> Iterator[bytes]:
    """The JSON of each result."""
    address = _address(buffer, "GstBuffer")
    library = _library()
    # What is registered when the first element attaches it.
    api = library.type_of_name(NAME + b"-api")
    state = ctypes.c_void_p()
    while api and (meta := library.iterate(address, ctypes.byref(state), api)):
        field = library.field(library.structure(meta), b"grounding")
        value = _Value()
        library.init(value, library.bytes_type())
        try:
            transformed = field and library.transform(field, value)
            content = library.boxed(value) if transformed else None
            if content is None:
                raise MdetrError(
                    "metadata of the plugin mdetr: expected a result that can be read; install "
                    "the package and the plugin from the same version"
                )
            length = ctypes.c_size_t()
            data = library.bytes_data(content, ctypes.byref(length))
            yield ctypes.string_at(data, length.value)
        finally:
            library.unset(value)
