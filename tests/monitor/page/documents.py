"""The configuration that the page is tested with, and what a server says of others."""

from datetime import UTC, datetime

import recording

SCHEMES = ("rtsp", "rtsps", "http", "https", "file", "v4l2", "tabletop")


def iso(time):
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now():
    return datetime.now(UTC)


def first_document():
    cameras = []
    for name, (seed, queries) in recording.CAMERAS.items():
        entries = [{"id": id, "text": text} for id, text in queries.items()]
        url = f"tabletop://?seed={seed}"
        cameras.append({"name": name, "url": url, "fps": 15, "enabled": True, "query": entries})
    cameras[0]["zone"] = [
        {"id": "left", "points": [[0.05, 0.2], [0.55, 0.2], [0.55, 0.95], [0.05, 0.95]]}
    ]
    cameras[0]["line"] = [{"id": "gate", "from": [0.6, 0.25], "to": [0.9, 0.75]}]
    cameras[0]["rule"] = [
        {
            "id": "red-seen",
            "severity": "alert",
            "when": {"is": "present", "query": "red", "zone": "left", "anchor": "bottom-center"},
            "for": "PT2S",
            "frames": 2,
            "clear": "PT1S",
        },
        {
            "id": "no-cones",
            "severity": "detection",
            "when": {"is": "absent", "query": "cones", "anchor": "bottom-center"},
            "frames": 2,
            "clear": "PT1S",
            "every": "PT1M",
        },
    ]
    return {
        "engine": "auto",
        "data": "/var/lib/mdetr",
        "http": {"listen": "127.0.0.1:8710"},
        "camera": cameras,
    }


def without_brackets(text):
    """The text of a sentence, or ValueError."""
    plain = text.replace("[[", "\0").replace("]]", "\1")
    if plain.count("[") != plain.count("]"):
        raise ValueError("'[' without ']'")
    plain = plain.replace("[", "").replace("]", "").replace("\0", "[").replace("\1", "]").strip()
    if not plain:
        raise ValueError("the text is empty; say what to look for")
    return plain


def faults_of(document):
    faults = []
    for camera in document["camera"]:
        place = f'camera "{camera["name"]}"'
        queries = [query["id"] for query in camera.get("query", [])]
        for query in camera.get("query", []):
            try:
                without_brackets(query["text"])
            except ValueError as error:
                faults.append({"place": f'{place}, query "{query["id"]}"', "message": str(error)})
            if "forbidden" in query["text"]:
                message = "17 tokens, the model takes at most 16; shorten it"
                faults.append({"place": f'{place}, query "{query["id"]}"', "message": message})
        for rule in camera.get("rule", []):
            for condition in conditions(rule["when"]):
                if "query" in condition and condition["query"] not in queries:
                    message = f'there is no query "{condition["query"]}"'
                    faults.append({"place": f'{place}, rule "{rule["id"]}"', "message": message})
        if camera["url"].split(":")[0] not in SCHEMES:
            faults.append({"place": f"{place}, url", "message": "expected one of rtsp://, file://"})
    return faults


def conditions(condition):
    yield condition
    within = condition.get("of", [])
    for part in within if isinstance(within, list) else [within]:
        yield from conditions(part)


class RefusedError(Exception):
    def __init__(self, status, error, faults=None):
        super().__init__(error)
        self.status = status
        self.body = {"error": error, **({"faults": faults} if faults else {})}
