"""Ours as others see it, and what others attach as we see it.

tools/test-gstreamer runs it in systems with GStreamer 1.24 and later.
"""

import os
import unittest
from pathlib import Path

from pipelines import CAPS, HEIGHT, WIDTH, frame, line, mdetr, pixels, run, source
from reader import VERSION, Gst, attach, detections, regions

OUT = Path(os.environ["MDETR_OUT"])
SINCE_SEGMENTATION = (1, 26)
SINCE_OVERLAY_OF_MASKS = (1, 28)


def needs(element, since):
    """Skips before the version that has the element; from then on it must be there."""
    return unittest.skipIf(VERSION < since, f"{element} is there since {since[0]}.{since[1]}")


class Ours(unittest.TestCase):
    def test_boxes_tracks_phrases_and_masks_have_the_ids_of_the_regions(self):
        frames = []
        lines = []

        def see(buffer):
            found = detections(buffer)
            frames.append((found, regions(buffer, [one.id for one in found])))

        run(
            f"{source(8)} ! {mdetr('all cubes')} ! mdetrtrack name=track min-hits=1"
            " ! mdetr2json name=json ! fakesink",
            {"track": see, "json": lambda buffer: lines.append(line(buffer))},
        )
        self.assertEqual((len(frames), len(lines)), (8, 8))
        self.assertTrue(any(found for found, _ in frames))
        first_seen = {}
        for (found, of_regions), reported in zip(frames, lines, strict=True):
            expected = reported["queries"][0]["detections"]
            self.assertEqual(len(found), len(expected))
            self.assertEqual([one.id for one in found], [region.id for region in of_regions])
            for one, region, json in zip(found, of_regions, expected, strict=True):
                self.assertEqual(one.label, "q1")
                self.assertEqual((one.label, one.rect), (region.label, region.rect))
                self.assertAlmostEqual(one.score, json["score"], 2)
                for side, exact in zip(one.rect, json["box"], strict=True):
                    self.assertLess(abs(side - exact), 2)
                self.assertEqual(region.phrases, [phrase["text"] for phrase in json["phrases"]])
                self.assertTrue(region.phrases)
                [(track, first, last, lost)] = one.tracks
                self.assertEqual(track, json["track"])
                self.assertEqual(first, first_seen.setdefault(track, first))
                self.assertLessEqual(first, last)
                self.assertFalse(lost)
                if VERSION >= SINCE_SEGMENTATION:
                    self.is_mask_of(one, json["mask"]["size"])
        self.assertTrue(
            any(track[2] > track[1] for f, _ in frames for o in f for track in o.tracks)
        )

    def is_mask_of(self, one, frame_size):
        """The mask lies in the frame and nearly all of it in the box, which it fills in part."""
        self.assertEqual(frame_size, [HEIGHT, WIDTH])
        [mask] = one.masks
        x, y, width, height = mask.rect
        self.assertEqual(mask.size, (width, height))
        self.assertEqual(mask.stride, width)
        self.assertLessEqual((x + width, y + height), (WIDTH, HEIGHT))
        self.assertEqual(mask.regions[0], 0)
        self.assertLessEqual(set(mask.pixels), set(mask.regions))
        left, top, wide, high = one.rect
        marked = [divmod(at, width) for at, value in enumerate(mask.pixels) if value]
        inside = [
            left - 1 <= x + column <= left + wide and top - 1 <= y + row <= top + high
            for row, column in marked
        ]
        self.assertGreater(sum(inside), 0.9 * len(inside))
        self.assertGreater(len(marked), 0.3 * wide * high)

    def test_absence_is_metadata_without_detections(self):
        seen = []
        more = "name=mdetr score-threshold=1"
        run(
            f"{source(2)} ! {mdetr('a purple cone', more)} ! fakesink",
            {"mdetr": lambda buffer: seen.append(detections(buffer))},
        )
        self.assertEqual(seen, [[], []])

    def test_off_attaches_none(self):
        seen = []
        run(
            f"{source(2)} ! {mdetr('all cubes', 'analytics=off')}"
            " ! mdetrtrack name=track analytics=off ! fakesink",
            {"track": lambda buffer: seen.append(detections(buffer))},
        )
        self.assertEqual(seen, [None, None])

    def carried(self, source, more):
        """Detections of the frames that leave mdetrtrack; each has one track, of its own."""
        seen = []
        run(
            f"{source} ! {CAPS} ! {mdetr('all cubes', more)}"
            " ! videoconvert ! video/x-raw,format=I420"
            " ! mdetrtrack name=track min-hits=1 ! fakesink",
            {"track": lambda buffer: seen.append(detections(buffer) or [])},
        )
        for found in seen:
            tracks = [track[0] for one in found for track in one.tracks]
            self.assertEqual(len(tracks), len(set(tracks)))
            self.assertEqual(len(tracks), len(found))
        return seen

    def test_frames_that_repeat_a_result_carry_each_detection_once(self):
        seen = self.carried("tabletopsrc seed=4 num-buffers=9", "inference-interval=4")
        self.assertEqual(len(seen), 9)
        self.assertTrue(all(seen))

    def test_frames_of_a_live_stream_carry_each_detection_once(self):
        seen = self.carried("tabletopsrc seed=4 is-live=true num-buffers=50", "mode=live")
        # How many come before the model is loaded depends on the machine.
        self.assertEqual(len(seen), 50)


class Drawn(unittest.TestCase):
    """GStreamer's elements draw ours; the pictures are for people to look at."""

    def drawn(self, overlay, name, query="all cubes"):
        plain, drawn, found = [], [], []

        def before(buffer):
            plain.append(pixels(buffer))
            found.extend(detections(buffer))

        run(
            f"{source(1)} ! {mdetr(query)} ! mdetrtrack name=track min-hits=1"
            f" ! {overlay} name=overlay"
            f' ! videoconvert ! pngenc ! filesink location="{OUT}/{name}.png"',
            {"track": before, "overlay": lambda buffer: drawn.append(pixels(buffer))},
        )
        self.assertTrue(found)

        def changed(x, y):
            at = 3 * (y * WIDTH + x)
            return plain[0][at : at + 3] != drawn[0][at : at + 3]

        return found, changed

    @unittest.skipIf(VERSION < (1, 26), "objectdetectionoverlay of 1.24 does not pass EOS on")
    def test_object_detection_overlay_draws_the_boxes(self):
        found, changed = self.drawn("objectdetectionoverlay", "objectdetectionoverlay")
        for x, y, width, height in (one.rect for one in found):
            edge = [(x + at, y) for at in range(width)] + [(x, y + at) for at in range(height)]
            edge = [(x, y) for x, y in edge if 0 < x < WIDTH - 1 and 0 < y < HEIGHT - 1]
            self.assertGreater(sum(changed(*at) for at in edge), 0.95 * len(edge))
        boxes = [one.rect for one in found]
        far = [
            (x, y)
            for y in range(0, HEIGHT, 4)
            for x in range(0, WIDTH, 4)
            # Where neither a box nor the words above it are.
            if not any(
                left - 8 < x < left + wide + 90 and top - 40 < y < top + high + 8
                for left, top, wide, high in boxes
            )
        ]
        self.assertGreater(len(far), 100)
        self.assertEqual(sum(changed(*at) for at in far), 0)

    @needs("segmentationoverlay", SINCE_OVERLAY_OF_MASKS)
    def test_segmentation_overlay_draws_the_masks(self):
        found, changed = self.drawn("segmentationoverlay", "segmentationoverlay")
        for one in found:
            [mask] = one.masks
            x, y, width, _ = mask.rect
            marked = [divmod(at, width) for at, value in enumerate(mask.pixels) if value]
            drawn = sum(changed(x + column, y + row) for row, column in marked)
            # The element draws each row of a mask one row late.
            self.assertGreater(drawn, 0.85 * len(marked))


class Others(unittest.TestCase):
    @needs("ioutracker", SINCE_OVERLAY_OF_MASKS)
    def test_ioutracker_follows_ours(self):
        seen = []
        run(
            f"{source(6)} ! {mdetr('all cubes')} ! ioutracker name=tracker ! fakesink",
            {"tracker": lambda buffer: seen.append(detections(buffer))},
        )
        before, after = (
            {track[0]: one.rect for one in found for track in one.tracks} for found in seen[-2:]
        )
        self.assertTrue(before)
        self.assertEqual(len(after), len(seen[-1]))
        self.assertEqual({one.label for one in seen[-1]}, {"q1"})
        self.assertEqual(before.keys(), after.keys())
        for track, rect in before.items():
            moved = (abs(old - new) for old, new in zip(rect, after[track], strict=True))
            self.assertLess(max(moved), 8)

    def foreign(self, elements, watch, number=6):
        buffers = []
        for index in range(number):
            buffer = frame(index)
            attach(buffer, "dog", (20 + 2 * index, 30, 60, 50), 0.75)
            attach(buffer, "cat", (200, 100 - index, 40, 40), 0.5)
            buffers.append(buffer)
        run(f"appsrc name=push format=time caps={CAPS} ! {elements} ! fakesink", watch, buffers)

    def test_detections_of_others_become_lines(self):
        lines = []
        self.foreign("mdetr2json name=json", {"json": lambda buffer: lines.append(line(buffer))})
        self.assertEqual(len(lines), 6)
        for index, reported in enumerate(lines):
            dog, cat = reported["queries"]
            self.assertEqual((dog["text"], cat["text"]), ("dog", "cat"))
            self.assertEqual(dog["detections"][0]["box"], [20 + 2 * index, 30, 60, 50])
            self.assertEqual(dog["detections"][0]["score"], 0.75)
            self.assertEqual(len(dog["detections"]) + len(cat["detections"]), 2)

    def test_detections_of_others_get_tracks(self):
        seen, lines = [], []
        self.foreign(
            "mdetrtrack name=track min-hits=1 ! mdetr2json name=json",
            {
                "track": lambda buffer: seen.append(detections(buffer)),
                "json": lambda buffer: lines.append(line(buffer)),
            },
        )
        for found, reported in zip(seen, lines, strict=True):
            self.assertEqual([one.label for one in found], ["dog", "cat"])
            tracks = [track[0] for one in found for track in one.tracks]
            self.assertEqual(tracks, [1, 2])
            of_lines = [query["detections"][0]["track"] for query in reported["queries"]]
            self.assertEqual(of_lines, tracks)

    def test_detections_of_others_stay_beside_ours(self):
        seen = []

        def see(buffer):
            seen.append(sorted((one.label, len(one.tracks)) for one in detections(buffer)))

        more = "score-threshold=0 max-detections=1 name=mdetr"
        self.foreign(
            f"{mdetr('all cubes', more)} ! mdetrtrack name=track min-hits=1 high-threshold=0",
            {"track": see},
            number=3,
        )
        self.assertEqual(seen, [[("cat", 0), ("dog", 0), ("q1", 1)]] * 3)


if __name__ == "__main__":
    Gst.init(None)
    unittest.main()
