"""Requests that schemathesis makes from the OpenAPI document, to the program with a camera."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import wait_for

CAMERA = """
[[camera]]
name = "gate"
url = "tabletop://?seed=7"

[[camera.query]]
id = "objects"
text = "all objects"

[[camera.rule]]
id = "seen"
when = { is = "present", query = "objects" }
every = "1s"
clear = "0s"
"""
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]
# They do not end.
STREAMS = ["/api/live", "/api/cameras/{camera}/stream.mjpg"]
# Cameras at random addresses are nobody's to ask.
CHANGES = ["post_cameras", "put_cameras_camera", "put_config"]


def test_no_request_of_the_document_is_a_fault_of_the_program(monitor, tmp_path):
    running = monitor(CAMERA)
    event = wait_for(lambda: running.events(rule="seen"), seconds=120)[0]
    known = {
        "path.camera": "gate",
        "path.rule": "seen",
        "path.id": event["id"],
        "header.if-match": "*",
    }
    lines = [f"{json.dumps(name)} = {json.dumps(value)}" for name, value in known.items()]
    config = tmp_path / "schemathesis.toml"
    config.write_text("\n".join(["[parameters]", *lines, ""]))
    program = shutil.which("schemathesis", path=Path(sys.executable).parent) or "schemathesis"
    command = [program, "--config-file", config, "run", "--no-color", "--checks", ",".join(CHECKS)]
    command += [
        "--phases",
        "coverage,fuzzing",
        "--max-examples=10",
        "--seed=7",
        "--rate-limit=90/s",
    ]
    command += ["--generation-database=none", "--continue-on-failure", "--request-timeout=10"]
    command += ["--exclude-method=DELETE"]
    command += [f"--exclude-path={path}" for path in STREAMS]
    command += [f"--exclude-operation-id={name}" for name in CHANGES]
    told = subprocess.run(
        [*command, "--url", running.url, f"{running.url}/api/openapi.json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    print(told.stdout)
    assert told.returncode == 0, told.stdout + told.stderr
    assert running.get("/api/status")["cameras"][0]["name"] == "gate"
    assert "panicked" not in running.text()
