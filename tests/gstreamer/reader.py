"""GstAnalytics and regions of interest on a buffer, read with GStreamer's own bindings."""

from dataclasses import dataclass, field

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstAnalytics", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import GLib, Gst, GstAnalytics, GstVideo  # noqa: E402

Gst.init(None)
VERSION = Gst.version()[:2]
RELATE_TO = int(GstAnalytics.RelTypes.RELATE_TO)
CONTAIN = int(GstAnalytics.RelTypes.CONTAIN)


@dataclass
class Mask:
    """Where it is in the frame (x, y, width, height), its pixels, and what values they may have."""

    rect: tuple
    size: tuple
    stride: int
    pixels: bytes
    regions: list


@dataclass
class Detection:
    """One object. A track is its id, when it was seen first and last, and whether it is lost."""

    id: int
    label: str
    rect: tuple
    score: float
    tracks: list = field(default_factory=list)
    masks: list = field(default_factory=list)


@dataclass
class Region:
    id: int
    label: str
    rect: tuple
    phrases: list


def detections(buffer):
    """What the relation metadata of a frame says; None if it has none."""
    meta = GstAnalytics.buffer_get_analytics_relation_meta(buffer)
    if meta is None:
        return None
    length = GstAnalytics.relation_get_length(meta)
    found = []
    for index in range(length):
        is_detection, detection = meta.get_od_mtd(index)
        if not is_detection:
            continue
        valid, *rect, score = detection.get_location()
        assert valid
        label = GLib.quark_to_string(detection.get_obj_type())
        found.append(Detection(index, label, tuple(rect), score))
        for other in range(length):
            relation = int(meta.get_relation(index, other))
            is_track, track = meta.get_tracking_mtd(other)
            if is_track and relation & RELATE_TO:
                found[-1].tracks.append(tuple(track.get_info()[1:]))
            if VERSION >= (1, 26) and relation & CONTAIN:
                is_mask, mask = meta.get_segmentation_mtd(other)
                if is_mask:
                    found[-1].masks.append(read_mask(mask))
    return found


def read_mask(mask):
    picture, *rect = mask.get_mask()
    video = GstVideo.buffer_get_video_meta(picture)
    assert video.format == GstVideo.VideoFormat.GRAY8
    pixels = picture.extract_dup(0, picture.get_size())
    regions = [mask.get_region_id(index) for index in range(mask.get_region_count())]
    return Mask(tuple(rect), (video.width, video.height), video.stride[0], pixels, regions)


def regions(buffer, identities):
    """The regions of interest with these ids."""
    found = []
    for identity in identities:
        region = GstVideo.buffer_get_video_region_of_interest_meta_id(buffer, identity)
        if region is not None:
            ours = region.get_param("mdetr")
            phrases = list(ours.get_value("phrases")) if ours else []
            label = GLib.quark_to_string(region.roi_type)
            rect = (region.x, region.y, region.w, region.h)
            found.append(Region(identity, label, rect, phrases))
    return found


def attach(buffer, label, rect, score):
    """Another detector's object, on a writable buffer."""
    meta = GstAnalytics.buffer_add_analytics_relation_meta(buffer)
    added, _ = meta.add_od_mtd(GLib.quark_from_string(label), *rect, score)
    assert added
