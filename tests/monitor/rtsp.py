"""Cameras for tests: RTSP streams of clips that can be frozen, cut off, resized and locked.

    python3 rtsp.py --cameras 16 --fps 15 --port 8554 [--user name:password]

Streams are at rtsp://127.0.0.1:PORT/0 and so on. Lines on the standard input change them:
`freeze 0`, `thaw 0`, `drop` (closes all connections), `remove 0`, `add 0`, `resize 0 320x240`.
"ready PORT" is printed at the start.
Needs gir1.2-gst-rtsp-server-1.0 and x264enc; GST_PLUGIN_PATH must have the plugin mdetr.
"""

import argparse
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

CAPS = "video/x-h264,stream-format=byte-stream,alignment=au"


def encoded(seed, width, height, fps, frames):
    """Access units of a rendered clip with whether each is a key picture."""
    pipeline = Gst.parse_launch(
        f"tabletopsrc seed={seed} num-buffers={frames}"
        f" ! video/x-raw,width={width},height={height},framerate={fps}/1"
        f" ! videoconvert ! video/x-raw,format=I420"
        f" ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=1500 key-int-max={2 * fps}"
        f" ! {CAPS} ! appsink name=sink sync=false"
    )
    sink = pipeline.get_by_name("sink")
    pipeline.set_state(Gst.State.PLAYING)
    units = []
    while sample := sink.emit("pull-sample"):
        buffer = sample.get_buffer()
        data = buffer.extract_dup(0, buffer.get_size())
        units.append((data, not buffer.has_flags(Gst.BufferFlags.DELTA_UNIT)))
    pipeline.set_state(Gst.State.NULL)
    if len(units) != frames:
        raise SystemExit(
            f"rtsp: {len(units)} of {frames} frames could be rendered: is GST_PLUGIN_PATH set?"
        )
    return units


class Camera(GstRtspServer.RTSPMediaFactory):
    """A stream that repeats its clip for ever, at its pace."""

    def __init__(self, units, fps):
        super().__init__()
        self.units = units
        self.fps = fps
        self.frozen = False
        self.set_shared(True)

    def do_create_element(self, _url):
        launch = f'appsrc name=source is-live=true format=time do-timestamp=true caps="{CAPS}"'
        return Gst.parse_launch(
            f"( {launch} ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=1 )"
        )

    def do_configure(self, media):
        source = media.get_element().get_by_name_recurse_up("source")
        index = 0

        def push():
            nonlocal index
            if not self.frozen:
                data, _key = self.units[index % len(self.units)]
                index += 1
                if source.emit("push-buffer", Gst.Buffer.new_wrapped(data)) != Gst.FlowReturn.OK:
                    return False
            return True

        timer = GLib.timeout_add(round(1000 / self.fps), push)
        media.connect("unprepared", lambda _media: GLib.source_remove(timer) and None)


class Server:
    """All cameras at one port."""

    def __init__(self, options):
        self.options = options
        self.server = GstRtspServer.RTSPServer()
        self.server.set_address("127.0.0.1")
        self.server.set_service(str(options.port))
        if options.user:
            self.lock(*options.user.split(":", 1))
        clips = [
            self.clip(seed, options.width, options.height)
            for seed in range(11, 11 + min(options.cameras, 4))
        ]
        self.cameras = [
            Camera(clips[index % len(clips)], options.fps) for index in range(options.cameras)
        ]
        for index in range(options.cameras):
            self.add(index)
        self.server.attach(None)

    def clip(self, seed, width, height):
        return encoded(seed, width, height, self.options.fps, self.options.frames)

    def lock(self, user, password):
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "user")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
        self.server.set_auth(auth)

    def add(self, index):
        camera = self.cameras[index]
        if self.options.user:
            permissions = GstRtspServer.RTSPPermissions()
            permissions.add_permission_for_role(
                "user", GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, True
            )
            permissions.add_permission_for_role(
                "user", GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, True
            )
            camera.set_permissions(permissions)
        self.server.get_mount_points().add_factory(f"/{index}", camera)

    def obey(self, line):
        words = line.split()
        match words:
            case ["freeze", index]:
                self.cameras[int(index)].frozen = True
            case ["thaw", index]:
                self.cameras[int(index)].frozen = False
            case ["drop"]:
                self.server.client_filter(
                    lambda _server, _client: GstRtspServer.RTSPFilterResult.REMOVE
                )
            case ["remove", index]:
                self.server.get_mount_points().remove_factory(f"/{index}")
            case ["add", index]:
                self.add(int(index))
            case ["resize", index, size]:
                width, height = map(int, size.split("x"))
                camera = self.cameras[int(index)]
                camera.units = self.clip(11, width, height)
            case _:
                print(f"rtsp: unknown command {line.strip()!r}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cameras", type=int, default=1)
    parser.add_argument("--fps", type=int, default=15)
    parser.add_argument("--frames", type=int, default=300, help="of each clip")
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--port", type=int, default=8554, help="0: any that is free")
    parser.add_argument("--user", help="name:password that clients must have")
    options = parser.parse_args()
    Gst.init(None)
    server = Server(options)
    loop = GLib.MainLoop()

    def read():
        for line in sys.stdin:
            GLib.idle_add(lambda line=line: server.obey(line) and None)
        GLib.idle_add(loop.quit)

    threading.Thread(target=read, daemon=True).start()
    print(f"ready {server.server.get_bound_port()}", flush=True)
    loop.run()


if __name__ == "__main__":
    main()
