"""The definitions against those of the peers, and the fixtures against what the peers make."""

import pytest
from peers import FIXTURES, cyclone_types, definitions, typestore, written
from rosbags.typesys import Stores, get_typestore

DISTRIBUTIONS = [
    Stores.ROS2_HUMBLE,
    Stores.ROS2_IRON,
    Stores.ROS2_JAZZY,
    Stores.ROS2_KILTED,
    Stores.ROS2_LYRICAL,
]
# Of packages that rosbags has no definitions of.
ELSEWHERE = ("vision_msgs/", "isaac_ros_", "mdetr_msgs/")
LOG = "rcl_interfaces/msg/Log"
EVENT = "lifecycle_msgs/msg/TransitionEvent"


def messages():
    return [name for name in definitions() if "/msg/" in name]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda store: store.value)
def test_fields_constants_and_hashes_are_those_of_rosbags(distribution):
    ours, theirs = typestore(), get_typestore(distribution)
    compared = [name for name in messages() if not name.startswith(ELSEWHERE)]
    assert len(compared) == 24
    if distribution == Stores.ROS2_LYRICAL:
        # Its time is another type there.
        compared.remove(EVENT)
        assert ours.fielddefs[EVENT][1][1:] == theirs.fielddefs[EVENT][1][1:]
    if distribution in (Stores.ROS2_HUMBLE, Stores.ROS2_IRON):
        # Its constants are bytes there; hashes leave constants out.
        compared.remove(LOG)
        assert ours.fielddefs[LOG][1] == theirs.fielddefs[LOG][1]
        assert ours.hash_rihs01(LOG) == theirs.hash_rihs01(LOG)
    for name in compared:
        assert ours.fielddefs[name] == theirs.fielddefs[name], name
        assert ours.hash_rihs01(name) == theirs.hash_rihs01(name), name


@pytest.mark.parametrize("name", definitions())
def test_hashes_are_those_of_ros2_pyterfaces(name):
    assert typestore().hash_rihs01(name) == cyclone_types()[name].hash_rihs01()


def test_fixtures_are_what_the_peers_make():
    assert (FIXTURES / "messages.json").read_text() == written()
