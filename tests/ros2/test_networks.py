"""What leaves the machine: nothing, where the environment says so."""

import select
import socket
import subprocess
import time

import pytest

ETH_P_ALL = 3


@pytest.fixture
def second_network():
    """An interface that looks like a network; what is sent to it can be seen."""
    name = "mdetr0"
    for command in [
        f"ip link add {name} type veth peer name mdetr1",
        f"ip address add 10.99.0.1/24 dev {name}",
        f"ip link set {name} up multicast on",
        "ip link set mdetr1 up",
        "ip route add 239.0.0.0/8 dev mdetr0",
    ]:
        subprocess.run(command.split(), check=True)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as seen:
        seen.bind(("mdetr1", 0))
        yield seen
    subprocess.run(["ip", "link", "delete", name], check=True)


def announcements(seen, seconds):
    """Packets of DDS that are seen."""
    found, end = [], time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([seen], [], [], left)[0]:
            packet = seen.recv(65536)
            if b"RTPS" in packet:
                found.append(packet)
    return found


@pytest.mark.parametrize(
    ("env", "leaves"),
    [
        ({}, True),
        ({"ROS_LOCALHOST_ONLY": "0"}, True),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}, True),
        ({"ROS_LOCALHOST_ONLY": "1"}, False),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, False),
    ],
    ids=lambda value: "-".join(map("=".join, value.items())) if isinstance(value, dict) else "",
)
def test_announcements(start, second_network, env, leaves):
    node = start("--ros-args", "-p", "autostart:=false", env=env)
    found = announcements(second_network, 5)
    assert node.process.poll() is None
    assert bool(found) == leaves, len(found)
