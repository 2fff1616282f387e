"""A server that speaks the monitor's HTTP interface with recorded pictures.

    python tests/monitor/page/stand_in.py 8710

It keeps its state in memory. Tests reach into it through `StandIn`; nothing of that is reachable
over HTTP.
"""

import asyncio
import copy
import itertools
import json
import secrets
import struct
import sys
import tempfile
import threading
from datetime import timedelta
from pathlib import Path

import recording
from aiohttp import WSMsgType, web
from documents import RefusedError, faults_of, first_document, iso, now, without_brackets

# What the caller may do.
ROLE = web.RequestKey("role", str)
PAGE = recording.ROOT / "src/monitor/page"
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


class StandIn:
    """The server, in a thread of its own. Methods without `_` may be called from tests."""

    def __init__(self, directory, port=0, rate=3):
        self.pause = 1 / rate
        self.frames = recording.load(directory)
        self.port = port
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.reset()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        if not self.ready.wait(20):
            raise TimeoutError("the stand-in does not listen")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    # What tests change

    def reset(self):
        self.document = first_document()
        self.revision = 3
        self.history = [{"revision": 3, "time": iso(now() - timedelta(hours=2)), "origin": "file"}]
        self.events = {}
        self.tokens = {}
        self.sessions = {}
        self.hub = False
        self.listeners = getattr(self, "listeners", set())
        self.sockets = getattr(self, "sockets", set())
        self.requests = []
        # Lines that answer a search.
        self.found = []
        self.live = True
        self.age_ms = 40.0
        self.broker = {"connected": True, "waiting": 0}
        self.store = {
            "writable": True,
            "bytes": 1_834_000_000,
            "free_bytes": 41_200_000_000,
            "waiting": 0,
        }
        self.started = iso(now() - timedelta(hours=5))
        since = iso(now() - timedelta(minutes=42))
        self.states = {
            name: {
                "name": name,
                "state": "online",
                "since": since,
                "size": list(recording.SIZE),
                "fps": 15.0,
                "inferred_fps": 11.2,
                "reconnects": 0,
                "revision": 3,
            }
            for name in recording.CAMERAS
        }
        self.number = itertools.count(1)

    def tell(self, kind, data):
        self._call(self._tell, kind, data)

    def step(self, event, kind):
        """Keeps a step of an event, and tells it."""
        event = {**event, "kind": kind, "time": iso(now())}
        if kind == "end":
            event.update(end=event["time"], reason=event.get("reason", "cleared"))
        known = self.events.get(
            event["id"], {"has_picture": True, "has_clip": False, "kept": False}
        )
        extra = {key: known[key] for key in ("has_picture", "has_clip", "kept")}
        self.events[event["id"]] = {**event, **extra}
        self.tell("event", event)
        return event

    def event(self, camera="table", rule="red-seen", start=None, seconds=None, **fields):
        """An event that fits the recording; with `seconds` it is over. It is kept, not told."""
        start = start or now()
        queries = recording.CAMERAS.get(camera, recording.CAMERAS["table"])[1]
        query = fields.pop("query", next(iter(queries)))
        report = self.frames.get(camera, self.frames["table"])[0][0]
        result = next((result for result in report["queries"] if result["id"] == query), {})
        found = result.get("detections", [])
        phrases = [phrase for detection in found[:1] for phrase in detection["phrases"]]
        event = {
            "kind": "new",
            "id": f"{start.timestamp():.3f}-{camera}-{rule}-{next(self.number)}",
            "camera": camera,
            "rule": rule,
            "severity": "alert",
            "query": query,
            "text": without_brackets(queries[query]),
            "revision": 3,
            "start": iso(start),
            "time": iso(start),
            "score": max([detection["score"] for detection in found], default=0),
            "tracks": [detection["track"] for detection in found if "track" in detection],
            "phrases": phrases,
            "zones": ["left"],
            "best": {
                "frame": 1,
                "utc": iso(start),
                "size": list(recording.SIZE),
                "boxes": [detection["box"] for detection in found],
                "score": 0.9,
            },
            **fields,
        }
        if seconds is not None:
            end = iso(start + timedelta(seconds=seconds))
            event.update(kind="end", end=end, time=end, reason=fields.get("reason", "cleared"))
        self.events[event["id"]] = {
            **event,
            "has_picture": True,
            "has_clip": seconds is not None,
            "kept": False,
        }
        return event

    def have_events(self):
        """An event that is over, and one that is open."""
        self.event(start=now() - timedelta(minutes=20), seconds=42)
        self.event(start=now() - timedelta(seconds=30))

    def set_state(self, camera, **changes):
        self.states[camera] = {**self.states[camera], "since": iso(now()), **changes}
        self.tell("camera", self.states[camera])

    def set_broker(self, **changes):
        self.broker = {**self.broker, **changes}
        self.tell("broker", self.broker)

    def set_store(self, **changes):
        self.store = {**self.store, **changes}
        self.tell("store", self.store)

    def change(self, change):
        """Somebody else changes the configuration."""
        change(self.document)
        self._taken("http: somebody")

    def stop(self):
        """The program is gone: nobody listens any more."""
        asyncio.run_coroutine_threadsafe(self._close(), self.loop).result(20)

    def start(self):
        asyncio.run_coroutine_threadsafe(self._listen(), self.loop).result(20)

    def end(self):
        self.stop()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    # The server

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._listen())
        self.ready.set()
        self.loop.run_forever()

    def _call(self, function, *arguments):
        self.loop.call_soon_threadsafe(function, *arguments)

    async def _listen(self):
        app = web.Application(middlewares=[self._guard])
        camera, event = "/api/cameras/{camera}", "/api/events/{id}"
        routes = [
            ("GET", "/", self._page),
            ("GET", "/assets/{name}", self._page),
            ("GET", "/api/status", self._status),
            ("GET", "/api/config", self._config),
            ("GET", "/api/config/history", self._history),
            ("POST", "/api/cameras", self._add_camera),
            ("DELETE", camera, self._remove_camera),
            ("PUT", f"{camera}/watch", self._watch),
            ("PUT", f"{camera}/enabled", self._enable_camera),
            ("PUT", f"{camera}/rules/{{rule}}/enabled", self._enable_rule),
            ("GET", f"{camera}/picture.jpg", self._picture),
            ("GET", f"{camera}/live", self._live),
            ("GET", "/api/live", self._listen_to),
            ("GET", "/api/events", self._events),
            ("GET", event, self._event),
            ("DELETE", event, self._remove_event),
            ("PUT", f"{event}/kept", self._keep),
            ("GET", f"{event}/picture.jpg", self._event_picture),
            ("GET", f"{event}/clip", self._clip),
            ("POST", "/api/search", self._search),
            ("POST", "/api/login", self._login),
            ("POST", "/api/logout", self._logout),
        ]
        app.add_routes([web.route(*route) for route in routes])
        self.runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self.runner.addresses[0][1]

    async def _close(self):
        for socket in list(self.sockets):
            await socket.close()
        for queue in list(self.listeners):
            queue.put_nowait(None)
        await self.runner.cleanup()

    @web.middleware
    async def _guard(self, request, handler):
        self.requests.append((request.method, request.path))
        try:
            request[ROLE] = self._role(request)
            return await handler(request)
        except RefusedError as refused:
            return web.json_response(refused.body, status=refused.status)

    def _role(self, request):
        free = not request.path.startswith("/api/") or request.path == "/api/login"
        if not self.tokens or free:
            return "admin"
        role = self.sessions.get(request.cookies.get("session"))
        if role is None:
            raise RefusedError(401, "a token is needed")
        for_viewers = request.path in ("/api/logout", "/api/search")
        unsafe = request.method not in ("GET", "HEAD") and not for_viewers
        if role == "viewer" and (unsafe or request.path.endswith("/history")):
            raise RefusedError(403, "the token allows to look only")
        return role

    async def _page(self, request):
        path = PAGE / request.match_info.get("name", "index.html")
        if path.parent != PAGE or not path.exists():
            raise RefusedError(404, "there is no such file")
        kinds = {
            ".html": "text/html",
            ".js": "text/javascript",
            ".css": "text/css",
            ".svg": "image/svg+xml",
        }
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
        return web.Response(
            body=path.read_bytes(),
            content_type=kinds[path.suffix],
            charset="utf-8",
            headers=headers,
        )

    async def _status(self, request):
        return web.json_response(
            {
                "version": "0.1.0",
                "revision": self.revision,
                "started": self.started,
                "model": "tabletop",
                "engine": "tract",
                "name": "phone" if self.tokens else "loopback",
                "role": request[ROLE],
                "hub": self.hub,
                "cameras": list(self.states.values()),
                "store": self.store,
                **({"broker": self.broker} if self.broker else {}),
            }
        )

    async def _config(self, request):
        return web.json_response(self.document, headers={"ETag": f'"{self.revision}"'})

    async def _history(self, request):
        return web.json_response({"revisions": self.history})

    def _camera(self, document, request):
        name = request.match_info["camera"]
        for camera in document["camera"]:
            if camera["name"] == name:
                return camera
        raise RefusedError(404, f'there is no camera "{name}"')

    def _apply(self, request, change):
        tag = request.headers.get("If-Match")
        if tag is not None and tag != f'"{self.revision}"':
            raise RefusedError(
                412, f"revision {tag} was changed, {self.revision} is in force: read it again"
            )
        document = copy.deepcopy(self.document)
        change(document)
        if faults := faults_of(document):
            words = "; ".join(f"{fault['place']}: {fault['message']}" for fault in faults)
            raise RefusedError(422, f"refused: {words}", faults)
        self.document = document
        self._taken("http: page")
        return web.json_response({"revision": self.revision})

    def _taken(self, origin):
        self.revision += 1
        self.history.insert(0, {"revision": self.revision, "time": iso(now()), "origin": origin})
        self.tell("config", {"revision": self.revision})

    async def _add_camera(self, request):
        camera = await request.json()

        def change(document):
            if any(known["name"] == camera["name"] for known in document["camera"]):
                raise RefusedError(409, "there are two of this name")
            document["camera"].append({"enabled": True, **camera})

        answer = self._apply(request, change)
        self.states[camera["name"]] = {
            "name": camera["name"],
            "state": "connecting",
            "since": iso(now()),
            "fps": 0,
            "inferred_fps": 0,
            "reconnects": 0,
            "revision": self.revision,
        }
        return answer

    async def _remove_camera(self, request):
        name = request.match_info["camera"]

        def change(document):
            document["camera"].remove(self._camera(document, request))

        answer = self._apply(request, change)
        self.states.pop(name, None)
        return answer

    async def _watch(self, request):
        given = await request.json()
        names = {"queries": "query", "zones": "zone", "lines": "line", "rules": "rule"}
        if unknown := set(given) - set(names):
            raise RefusedError(422, f"unknown field {unknown}")

        def change(document):
            camera = self._camera(document, request)
            for key, value in given.items():
                camera[names[key]] = value

        return self._apply(request, change)

    async def _enable_camera(self, request):
        enabled = (await request.json())["enabled"]
        answer = self._apply(
            request, lambda document: self._camera(document, request).update(enabled=enabled)
        )
        self.set_state(request.match_info["camera"], state="online" if enabled else "disabled")
        return answer

    async def _enable_rule(self, request):
        enabled = (await request.json())["enabled"]

        def change(document):
            for rule in self._camera(document, request)["rule"]:
                if rule["id"] == request.match_info["rule"]:
                    rule.pop("enabled", None)
                    if not enabled:
                        rule["enabled"] = False

        return self._apply(request, change)

    def _frame(self, camera, number):
        """Frame `number` of a camera: as recorded, with the answers to the queries it has now."""
        frames = self.frames.get(camera["name"]) or self.frames["table"]
        # There and back again: no jump.
        at = number % (2 * len(frames) - 2)
        report, jpeg = frames[min(at, 2 * len(frames) - 2 - at)]
        known = {result["id"]: result for result in report["queries"]}
        results = []
        for query in camera.get("query", []):
            text = without_brackets(query["text"])
            result = known.get(query["id"])
            if result is None or result["text"] != text:
                result = next((r for r in report["queries"] if r["text"] == text), None)
            if result is None:
                result = {"present": False, "detections": []}
            results.append({**result, "id": query["id"], "text": text})
        report = {
            **report,
            "source": camera["name"],
            "frame": number,
            "utc": iso(now()),
            "age_ms": self.age_ms,
            "revision": self.revision,
            "queries": results,
        }
        return report, jpeg

    async def _live(self, request):
        if not self.live:
            raise RefusedError(503, "too many streams")
        camera = self._camera(self.document, request)
        if camera.get("enabled") is False:
            raise RefusedError(404, "the camera is switched off")
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.add(socket)
        reader = asyncio.ensure_future(self._drain(socket))
        try:
            for number in itertools.count():
                camera = self._camera(self.document, request)
                if self.states[camera["name"]]["state"] == "online":
                    report, jpeg = self._frame(camera, number)
                    text = json.dumps(report, ensure_ascii=False).encode()
                    await socket.send_bytes(struct.pack(">I", len(text)) + text + jpeg)
                await asyncio.sleep(self.pause)
                if socket.closed or camera.get("enabled") is False:
                    break
        except (ConnectionError, RefusedError):
            pass
        finally:
            reader.cancel()
            self.sockets.discard(socket)
            await socket.close()
        return socket

    async def _drain(self, socket):
        async for message in socket:
            if message.type == WSMsgType.ERROR:
                return

    async def _picture(self, request):
        _, jpeg = self._frame(self._camera(self.document, request), 0)
        return web.Response(body=jpeg, content_type="image/jpeg")

    def _tell(self, kind, data):
        for queue in list(self.listeners):
            queue.put_nowait((kind, data))

    async def _listen_to(self, request):
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        await response.prepare(request)
        queue = asyncio.Queue()
        self.listeners.add(queue)
        try:
            await response.write(b": hello\n\n")
            while True:
                try:
                    told = await asyncio.wait_for(queue.get(), 5)
                except TimeoutError:
                    await response.write(b": still here\n\n")
                    continue
                if told is None:
                    break
                kind, data = told
                await response.write(f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode())
        except ConnectionError:
            pass
        finally:
            self.listeners.discard(queue)
        return response

    async def _events(self, request):
        asked = dict(request.query)
        known = {"from", "to", "camera", "rule", "words", "severity", "open", "after", "limit"}
        if unknown := set(asked) - known:
            raise RefusedError(400, f"unknown field {unknown}")
        limit = int(asked.get("limit", 100))

        def fits(event):
            text = " ".join(
                [event["text"], *(phrase["text"] for phrase in event["phrases"])]
            ).lower()
            is_open = "end" not in event
            return (
                all(
                    event[key] == asked[key]
                    for key in ("camera", "rule", "severity")
                    if key in asked
                )
                and ("open" not in asked or is_open == (asked["open"] == "true"))
                and ("from" not in asked or is_open or event["end"] >= asked["from"])
                and ("to" not in asked or event["start"] < asked["to"])
                and all(word in text for word in asked.get("words", "").lower().split())
            )

        found = sorted(
            filter(fits, self.events.values()), key=lambda e: (e["start"], e["id"]), reverse=True
        )
        if "after" in asked:
            last = self.events.get(asked["after"])
            place = (last["start"], last["id"]) if last else ("", "")
            found = [event for event in found if (event["start"], event["id"]) < place]
        more = {"next": found[limit - 1]["id"]} if len(found) > limit else {}
        return web.json_response({"events": found[:limit], **more})

    def _known(self, request):
        event = self.events.get(request.match_info["id"])
        if event is None:
            raise RefusedError(404, "there is no such event")
        return event

    async def _event(self, request):
        return web.json_response(self._known(request))

    async def _remove_event(self, request):
        del self.events[self._known(request)["id"]]
        return web.Response(status=204)

    async def _keep(self, request):
        self._known(request)["kept"] = (await request.json())["kept"]
        return web.Response(status=204)

    async def _event_picture(self, request):
        event = self._known(request)
        if unknown := set(request.query) - {"drawn"}:
            raise RefusedError(400, f"unknown field {unknown}")
        frames = self.frames.get(event["camera"]) or self.frames["table"]
        return web.Response(
            body=frames[0 if "drawn" in request.query else 6][1], content_type="image/jpeg"
        )

    async def _clip(self, request):
        self._known(request)
        return web.FileResponse(self.clip(), headers={"Content-Type": "video/webm"})

    async def _search(self, request):
        if "past" not in self.document:
            raise RefusedError(404, "nothing is kept to be asked later")
        text = "".join(f"{json.dumps(line)}\n" for line in self.found)
        return web.Response(text=text, content_type="application/x-ndjson")

    def clip(self):
        """Path of a short clip."""
        path = Path(tempfile.gettempdir()) / f"mdetr-stand-in-{self.port}.webm"
        if not path.exists():
            recording.record_clip(path)
        return path

    async def _login(self, request):
        role = self.tokens.get((await request.json())["token"])
        if role is None:
            raise RefusedError(401, "this token is not known")
        session = secrets.token_hex(8)
        self.sessions[session] = role
        response = web.json_response({"name": "phone", "role": role})
        response.set_cookie("session", session, httponly=True, samesite="Strict")
        return response

    async def _logout(self, request):
        self.sessions.pop(request.cookies.get("session"), None)
        response = web.Response(status=204)
        response.del_cookie("session")
        return response


def fill_with_events(server):
    """A day as it might have been."""
    start = now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=5)
    for at in range(34):
        camera = ("table", "bench", "shelf")[at * 7 % 3]
        fields = {"severity": "alert" if at % 4 == 0 else "detection"}
        if camera == "table" and at % 2:
            fields.update(rule="no-cones", query="cones", zones=[], reason="object-lost")
        elif camera != "table":
            fields.update(rule="seen", zones=[])
        server.event(
            camera=camera,
            start=start + timedelta(minutes=9 * at + at % 5),
            seconds=20 + 37 * at % 400,
            **fields,
        )
    server.event(start=now() - timedelta(seconds=75))


if __name__ == "__main__":
    where = Path(tempfile.gettempdir()) / "mdetr-monitor-page"
    server = StandIn(where, int(sys.argv[1]) if len(sys.argv) > 1 else 8710, recording.RATE)
    fill_with_events(server)
    print(f"{server.url} until Ctrl+C", flush=True)
    server.thread.join()
