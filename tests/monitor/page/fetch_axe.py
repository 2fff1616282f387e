"""Puts axe-core's axe.min.js into the virtual environment this runs in, for tests of the page."""

import hashlib
import io
import sys
import tarfile
import urllib.request
from pathlib import Path

VERSION = "4.14.1"
SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
URL = f"https://registry.npmjs.org/axe-core/-/axe-core-{VERSION}.tgz"

target = Path(sys.prefix) / "axe.min.js"
if not target.exists() or hashlib.sha256(target.read_bytes()).hexdigest() != SHA256:
    with urllib.request.urlopen(URL, timeout=120) as response:
        archive = tarfile.open(fileobj=io.BytesIO(response.read()))
    script = archive.extractfile("package/axe.min.js").read()
    found = hashlib.sha256(script).hexdigest()
    if found != SHA256:
        sys.exit(f"{URL}: expected axe.min.js with SHA-256 {SHA256}, found {found}")
    target.write_bytes(script)
