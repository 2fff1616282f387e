"""Pictures of the tabletop world with what the bundled model finds in them."""

import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
FRAMES = 24
RATE = 6
SIZE = (640, 480)

# Name of a camera, seed of its scene, and its sentences.
CAMERAS = {
    "table": (
        7,
        {
            "red": "[a red object] left of a blue object",
            "cones": "all cones",
            "count": "how many objects are there?",
            "purple": "a purple ball",
        },
    ),
    "bench": (
        5,
        {"green": "[a large green sphere] behind a small sphere", "cylinders": "a blue cylinder"},
    ),
    "shelf": (11, {"yellow": "yellow cylinders", "cube": "is there a red cube?"}),
}


def plugin_directory():
    """Where libgstmdetr.so is: MDETR_BUILD, else what cargo built."""
    given = os.environ.get("MDETR_BUILD")
    places = [Path(given)] if given else [ROOT / "target/debug", ROOT / "target/release"]
    for place in places:
        if (place / "libgstmdetr.so").exists():
            return place
    names = ", ".join(map(str, places))
    raise FileNotFoundError(f"no libgstmdetr.so in {names}: run `cargo build -p gst-plugin-mdetr`")


def environment(registry):
    """What a program that uses the plugin is told."""
    return {
        **os.environ,
        "GST_PLUGIN_PATH": str(plugin_directory()),
        "GST_REGISTRY": str(registry),
        "MDETR_MODEL": str(ROOT / "models/tabletop"),
    }


def record(name, directory):
    """Writes NAME.jsonl and NAME-000.jpg and so on to the directory."""
    seed, queries = CAMERAS[name]
    # JSON's strings are TOML's.
    tables = (
        f"[[query]]\nid = {json.dumps(id)}\ntext = {json.dumps(text)}\n"
        for id, text in queries.items()
    )
    config = directory / f"{name}.toml"
    config.write_text("\n".join(tables))
    width, height = SIZE
    queue = "queue max-size-buffers=0 max-size-bytes=0 max-size-time=0"
    pipeline = [
        *f"tabletopsrc seed={seed} num-buffers={FRAMES} !".split(),
        f"video/x-raw,width={width},height={height},framerate={RATE}/1",
        *f"! videoconvert ! mdetr masks=true config={config}".split(),
        *f"! mdetrtrack ! tee name=t ! {queue} ! mdetr2json source={name}".split(),
        *f"! filesink location={directory / name}.jsonl t. ! {queue}".split(),
        *"! videoconvert ! jpegenc quality=75 !".split(),
        *f"multifilesink location={directory / name}-%03d.jpg".split(),
    ]
    command = ["gst-launch-1.0", "-q", *pipeline]
    told = environment(directory / "registry.bin")
    subprocess.run(command, env=told, check=True, timeout=300)


def load(directory):
    """The frames of all cameras: (report, JPEG) each. Records what is not there."""
    directory.mkdir(parents=True, exist_ok=True)
    frames = {}
    for name in CAMERAS:
        lines = directory / f"{name}.jsonl"
        if not lines.exists() or len(lines.read_text().splitlines()) < FRAMES:
            record(name, directory)
        reports = [json.loads(line) for line in lines.read_text().splitlines()]
        pictures = [(directory / f"{name}-{at:03}.jpg").read_bytes() for at in range(FRAMES)]
        frames[name] = list(zip(reports, pictures, strict=True))
    return frames


def record_clip(path):
    """Writes two seconds of the tabletop world as WebM."""
    pipeline = (
        f"tabletopsrc seed=7 num-buffers=24 ! video/x-raw,width=320,height=240,framerate=12/1 "
        f"! videoconvert ! vp8enc deadline=1 ! webmmux ! filesink location={path}"
    )
    told = environment(f"{path}.registry")
    subprocess.run(["gst-launch-1.0", "-q", *pipeline.split()], env=told, check=True, timeout=120)
