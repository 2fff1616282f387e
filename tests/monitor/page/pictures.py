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


def take(page, path, colours=256):
    """Writes what is seen as PNG, in a palette small enough for a book."""
    image = Image.open(io.BytesIO(page.driver.get_screenshot_as_png())).convert("RGB")
    for width in (image.width, 1280, 960):
        height = round(image.height * width / image.width)
        small = image.resize(
            (min(width, image.width), height if width < image.width else image.height)
        )
        small.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size < MOST_BYTES:
            return
    raise ValueError(f"{path}: {path.stat().st_size} bytes, expected less than {MOST_BYTES}")


def main(program, directory):
    with tempfile.TemporaryDirectory() as data:
        monitor = Program(program, Path(data))
        driver = chromium()
        try:
            monitor.reset()
            monitor.have_events()
            page = Page(driver, monitor)
            page.size(1440, 960)
            page.dark(False)
            page.open("#/cameras/table")
            page.is_live()
            page.find(".chip")
            page.find(".side .event")
            time.sleep(2)
            take(page, directory / "monitor-light.png")
            page.dark(True)
            page.open("#/")
            for camera in ("table", "bench", "shelf"):
                page.is_live(camera)
            time.sleep(2)
            take(page, directory / "monitor-dark.png")
            page.dark(False)
            page.size(360, 780, mobile=True)
            page.open("#/cameras/bench")
            page.is_live()
            page.find(".chip")
            time.sleep(2)
            take(page, directory / "monitor-phone.png")
        finally:
            driver.quit()
            monitor.end()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
