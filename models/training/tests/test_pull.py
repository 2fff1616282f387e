"""`mdetr pull` of every structure, from a publisher on loopback."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from checkpoints import official_answers, perturbed, run, training
from torch import Tensor

from mdetr_training import official, structures

RECORD = "/api/records/4721981"


class Publisher(ThreadingHTTPServer):
    """Has files in a record as Zenodo does, and breaks off each the first time it is asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files: dict[str, bytes] = {}
        self.begins: dict[str, list[int]] = {}
        self.base = f"http://127.0.0.1:{self.server_address[1]}"

    def record(self) -> bytes:
        def described(name: str, content: bytes) -> dict:
            checksum = "md5:" + hashlib.md5(content).hexdigest()
            link = {"self": f"{self.base}{RECORD}/files/{name}/content"}
            return {"key": name, "size": len(content), "checksum": checksum, "links": link}

        files = [described(*item) for item in self.files.items()]
        return json.dumps({"id": 4721981, "files": files}).encode()


class Answer(BaseHTTPRequestHandler):
    """An answer of a publisher."""

    server: Publisher
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == RECORD:
            return self.head(200, {"Content-Length": len(record := self.server.record())}, record)
        name = self.path.removesuffix("/content").rsplit("/", 1)[-1]
        if self.path.startswith(RECORD):
            return self.head(302, {"Location": f"/storage/{name}", "Content-Length": 0})
        return self.file(name)

    def file(self, name: str) -> None:
        content = self.server.files[name]
        begin = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        begins = self.server.begins.setdefault(name, [])
        begins.append(begin)
        headers = {"ETag": f'"{len(content)}"', "Content-Length": len(content) - begin}
        if "Range" in self.headers:
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        end = len(content) // 2 if len(begins) == 1 else len(content)
        self.head(206 if "Range" in self.headers else 200, headers, content[begin:end])
        self.close_connection = end < len(content)

    def head(self, status: int, headers: dict[str, object], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher() as publisher:
        threading.Thread(target=publisher.serve_forever, daemon=True).start()
        yield publisher
        publisher.shutdown()


def mixed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same values as doubles, turned, and as views of one storage."""
    state = dict(state)
    names = [name for name, value in state.items() if value.dtype == torch.float32]
    shared = names[2::3]
    whole = torch.cat([state[name].flatten() for name in shared])
    at = 0
    for name in shared:
        shape = state[name].shape
        state[name] = whole[at : at + shape.numel()].view(shape)
        at += shape.numel()
    state |= {name: state[name].double() for name in names[::3]}
    state |= {name: state[name].mT.contiguous().mT for name in names[1::3] if state[name].dim() > 1}
    return state


@pytest.mark.parametrize("name", list(structures.NETWORKS))
def test_every_structure(name: str, publisher: Publisher, small, roberta, tmp_path: Path):
    source = perturbed(official.from_random(name, roberta, reduced=True))
    content = training(source.network.state_dict())
    plain = {"model": content["model_ema"]}
    content["model_ema"] = mixed(content["model_ema"])
    content["model"] = {key: value.half() for key, value in content["model"].items()}
    path = tmp_path / "best_checkpoint.pth"
    # Every other one is in the format of PyTorch before 1.6.
    new = list(structures.NETWORKS).index(name) % 2 == 0
    torch.save(content, path, _use_new_zipfile_serialization=new)
    publisher.files = {path.name: path.read_bytes(), "tokenizer.json": roberta.read_bytes()}

    answers, answers_at = (), ""
    if source.config.network.answers == "gqa":
        answers = ("--answers", official_answers(source, tmp_path))
        answers_at = f'answers = {{ file = "{answers[1].name}", page = "{publisher.base}" }}\n'
    vocabulary = source.config.network.text.vocab_size
    config = tmp_path / "config" / "mdetr"
    config.mkdir(parents=True)
    (config / "models.toml").write_text(
        f'[tokenizers.small]\nurl = "{publisher.base}/roberta/tokenizer.json"\n'
        f"vocabulary = {vocabulary}\n"
        f'[models.mine]\ntitle = "mine"\ntasks = ["grounding"]\nlicence = "MIT"\n{answers_at}'
        f'record = "{publisher.base}{RECORD}"\nfile = "{path.name}"\n'
        f'download_mb = 1\nmodel_mb = 1\ntokenizer = "small"\n'
    )
    environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    environment |= {"XDG_CONFIG_HOME": config.parent, "XDG_DATA_HOME": tmp_path / "data"}
    environment.pop("MDETR_MIRROR", None)
    done = run("pull", "mine", "--structures", small, *answers, env=environment)
    assert done.returncode == 0, done.stderr
    size = path.stat().st_size
    assert publisher.begins[path.name] == [0, size // 2]

    torch.save(plain, tmp_path / "plain.pth")
    arguments = ("--tokenizer", roberta, "--out", tmp_path / "expected", "--name", "mine")
    arguments += ("--structures", small, *answers)
    done = run("import", tmp_path / "plain.pth", *arguments)
    assert done.returncode == 0, done.stderr
    pulled = tmp_path / "data" / "mdetr" / "models" / "mine"
    expected = {p.name: p.read_bytes() for p in (tmp_path / "expected").iterdir()}
    found = {p.name: p.read_bytes() for p in pulled.iterdir()}
    assert expected.keys() <= found.keys()
    assert [file for file in expected if expected[file] != found[file]] == []
