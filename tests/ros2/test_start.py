"""The command line, the environment, names and time."""

import json
import subprocess
import time

import messages as m
import pytest
from conftest import BEST_EFFORT, BUILD, RELIABLE, Peer, header, matched, take_until
from cyclonedds.core import Policy, Qos
from test_control import parameter, rcl
from test_images import raw


def refused(*args, env=None):
    import os

    done = subprocess.run(
        [BUILD / "mdetr-ros2", *args],
        capture_output=True,
        text=True,
        timeout=20,
        env={**os.environ, **(env or {})},
    )
    assert done.returncode == 2, done
    assert done.stderr.startswith("mdetr-ros2: ") and done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--frob"], '"--frob"'),
        (["--ros-args", "--frob"], '"--frob"'),
        (["--ros-args", "-p", "querys:=[a]"], "querys: there is no such parameter"),
        (["--ros-args", "-p", "engine:=cuda"], "engine: expected auto"),
        (["--ros-args", "-p", "queries:=['[a']"], "queries: "),
        (["--ros-args", "-p", "max_rate:=-1"], "max_rate: expected 0 to 1000"),
        (["--ros-args", "-r", "__node:=a-b"], "__node:=a-b"),
        (["--ros-args", "-r", "image"], "-r image: expected from:=to"),
        (["--ros-args", "--params-file", "/no/such.yaml"], "/no/such.yaml"),
    ],
)
def test_wrong_arguments_are_refused_by_name(args, message):
    assert message in refused(*args)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ROS_DOMAIN_ID", "233"),
        ("ROS_DOMAIN_ID", "x"),
        ("ROS_LOCALHOST_ONLY", "yes"),
        ("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF"),
    ],
)
def test_a_wrong_environment_is_refused_by_name(name, value):
    assert f"{name}={value}: expected" in refused(env={name: value})


def test_help_names_every_parameter():
    from test_control import NAMES

    done = subprocess.run([BUILD / "mdetr-ros2", "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    own = {"--record FILE", "--record-images", "--foxglove [ADDRESS]", "--recover RECORDING"}
    for name in NAMES | own | {"ROS_DOMAIN_ID", "~/set_prompt", "~/detections"}:
        assert name in done.stdout


def test_names_are_remapped(start, peer, scenes, tmp_path):
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text(
        "/**:\n  ros__parameters:\n    reliability: reliable\n    not_ours: 7\n"
        "/robot/eyes:\n  ros__parameters:\n    queries: [a cone, 'a cube']\n"
    )
    node = start(
        *["--ros-args", "-r", "__node:=eyes", "-r", "__ns:=/robot"],
        *["-r", "image:=/camera/image_raw", "-r", "~/detections:=found"],
        *["-r", "~/enable:=/lights", "--params-file", parameters],
    )
    publisher = matched(peer.publisher("/camera/image_raw", m.Image))
    found = matched(peer.subscriber("/robot/found", m.Detection2DArray))
    results = matched(peer.subscriber("/robot/eyes/result", m.String))
    publisher.write(raw(scenes[0], 1))
    take_until(found, lambda found: found)
    line = json.loads(take_until(results, lambda found: found)[0].data)
    assert [query["text"] for query in line["queries"]] == ["a cone", "a cube"]
    assert peer.client("/lights", "std_srvs/srv/SetBool")(True).success
    node.wait_for_log("parameter not_ours: there is no such parameter")


def test_compressed_pictures_are_beside_raw_ones(start, peer, scenes):
    start(
        *["--ros-args", "-r", "image:=/camera/image_raw", "-p", "image_transport:=compressed"],
        *["-p", "reliability:=reliable"],
    )
    publisher = matched(peer.publisher("/camera/image_raw/compressed", m.CompressedImage))
    found = matched(peer.subscriber("/mdetr/detections", m.Detection2DArray))
    publisher.write(m.CompressedImage(header(1), "png", scenes[0].read_bytes()))
    take_until(found, lambda found: found)


def test_domains_do_not_hear_each_other(start, domain):
    start(env={"ROS_DOMAIN_ID": str(domain)})
    here, elsewhere = Peer(domain), Peer(domain + 100)
    kind = m.Detection2DArray
    matched(here.subscriber("/mdetr/detections", kind))
    other = elsewhere.subscriber("/mdetr/detections", kind)
    time.sleep(1)
    assert other.get_matched_publications() == []


@pytest.mark.parametrize("name", ["ROS_LOCALHOST_ONLY", "ROS_AUTOMATIC_DISCOVERY_RANGE"])
def test_a_node_of_this_machine_only_is_heard_here(start, peer, name):
    start(env={name: "1" if name == "ROS_LOCALHOST_ONLY" else "LOCALHOST"})
    matched(peer.subscriber("/mdetr/detections", m.Detection2DArray))


def test_simulated_time(start, peer, scenes):
    start("--ros-args", "-p", "use_sim_time:=true")
    diagnostics = matched(peer.subscriber("/diagnostics", m.DiagnosticArray))
    clock = matched(peer.publisher("/clock", m.Clock))

    def shows(seconds):
        def shown(found):
            clock.write(m.Clock(m.Time(seconds, 5)))
            return any((f.header.stamp.sec, f.header.stamp.nanosec) == (seconds, 5) for f in found)

        return shown

    take_until(diagnostics, shows(1234))
    take_until(diagnostics, shows(99))
    set_one = rcl(peer, "set_parameters")
    assert set_one(parameters=[parameter("use_sim_time", False)]).results[0].successful
    now = time.time()
    take_until(diagnostics, lambda found: any(abs(f.header.stamp.sec - now) < 60 for f in found))


def test_it_stops_when_it_is_told(start):
    node = start("--ros-args", "--log-level", "debug")
    node.wait_for_log("listening to /image")
    begun = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - begun < 5


def test_a_publisher_that_cannot_be_heard_is_named(start, peer, scenes):
    node = start("--ros-args", "-p", "reliability:=reliable")
    node.wait_for_log("listening to /image")
    sensor = Qos(BEST_EFFORT, Policy.History.KeepLast(5))
    kept = Policy.Durability.TransientLocal
    publisher = peer.publisher("/image", m.Image, sensor)
    node.wait_for_log("/image: nothing is heard of a publisher: it asks for reliable delivery")
    asked = Qos(RELIABLE, kept, Policy.History.KeepLast(1))
    subscriber = peer.subscriber("/mdetr/detections", m.Detection2DArray, asked)
    node.wait_for_log("/mdetr/detections: a subscriber gets nothing: it asks for earlier messages")
    assert publisher.get_matched_subscriptions() == []
    assert subscriber.get_matched_publications() == []
