"""Takes the pictures of the page for the book: pictures.py PROGRAM DIRECTORY."""

import io
import sys
import tempfile
import time
from pathlib import Path

from browser import Page, chromium
from PIL import Image
from program import Program

MOST_BYTES = 300_000
# Ages that are good enough, the best first.
NEW_MS = (120, 250, 350, 500)


def take(page, path):
    """Writes what is seen as PNG: in a palette, with fewer pixels if it must be."""
    image = Image.open(io.BytesIO(page.driver.get_screenshot_as_png())).convert("RGB")
    for width in (image.width, 1200, 1080, 960):
        size = (
            min(width, image.width),
            round(image.height * min(width, image.width) / image.width),
        )
        small = image.resize(size, Image.Resampling.LANCZOS)
        # Colours that are seen seldom count too. Without k-means plain areas stay plain.
        for kmeans in (0, 1):
            palette = small.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=kmeans)
            shown = small.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
            shown.save(path, optimize=True)
            if path.stat().st_size < MOST_BYTES:
                return
    raise ValueError(f"{path}: {path.stat().st_size} bytes, expected less than {MOST_BYTES}")


def fresh(page):
    """Waits for frames with new results: on a busy machine boxes come late."""
    age = (
        "return Math.max(...[...document.querySelectorAll('.screen')].map((screen) => "
        "Number(screen.dataset.age || 1e9)))"
    )
    for limit in NEW_MS:
        try:
            page.wait(lambda limit=limit: page.script(age) < limit, 20)
        except AssertionError:
            continue
        return


def only(monitor, *names):
    """Switches the other cameras off: those that are seen have the processor for themselves."""
    for camera in monitor.document["camera"]:
        enabled = camera["name"] in names
        monitor.ask("PUT", f"/api/cameras/{camera['name']}/enabled", {"enabled": enabled})


def main(program, directory):
    with tempfile.TemporaryDirectory() as data:
        monitor = Program(program, Path(data))
        driver = chromium()
        try:
            monitor.reset()
            monitor.have_events()
            only(monitor, "table")
            page = Page(driver, monitor)
            driver.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
            page.size(1440, 960)
            page.dark(False)
            page.open("#/cameras/table")
            page.find(".chip")
            page.find(".side .event")
            time.sleep(2)
            fresh(page)
            take(page, directory / "monitor-light.png")
            only(monitor, "table", "bench", "shelf")
            page.dark(True)
            page.open("#/")
            for camera in ("table", "bench", "shelf"):
                page.is_live(camera)
            time.sleep(2)
            fresh(page)
            take(page, directory / "monitor-dark.png")
            only(monitor, "bench")
            page.dark(False)
            page.size(360, 780, mobile=True)
            page.open("#/cameras/bench")
            page.find(".chip")
            time.sleep(2)
            fresh(page)
            take(page, directory / "monitor-phone.png")
        finally:
            driver.quit()
            monitor.end()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
