"""What other nodes know of this one: its name and its topics, as their distribution has it."""

from dataclasses import dataclass

import messages as m
import pytest
from conftest import RELIABLE, matched, take_until
from cyclonedds.core import Policy, Qos
from cyclonedds.idl import make_idl_struct
from cyclonedds.idl.types import array, sequence, uint8
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic

LATCHED = Qos(RELIABLE, Policy.Durability.TransientLocal, Policy.History.KeepLast(1))


@dataclass
class Distribution:
    binary: str
    gid_bytes: int


def infos(bytes_of_gid):
    """`rmw_dds_common/msg/ParticipantEntitiesInfo`; a Gid had 24 bytes until Humble."""
    name = "rmw_dds_common/msg/"
    gid = make_idl_struct("Gid", m.message(f"{name}Gid"), {"data": array[uint8, bytes_of_gid]})
    node = {"node_namespace": str, "node_name": str}
    gids = {"reader_gid_seq": sequence[gid], "writer_gid_seq": sequence[gid]}
    node = make_idl_struct("Node", m.message(f"{name}NodeEntitiesInfo"), {**node, **gids})
    members = {"gid": gid, "node_entities_info_seq": sequence[node]}
    return make_idl_struct("Info", m.message(f"{name}ParticipantEntitiesInfo"), members)


@pytest.mark.parametrize(
    "distribution",
    [Distribution("mdetr-ros2", 16), Distribution("mdetr-ros2-humble", 24)],
    ids=["jazzy", "humble"],
)
def test_the_node_is_in_the_graph(start, peer, distribution):
    node = start("--ros-args", "-r", "__ns:=/robot", binary=distribution.binary)
    kind = infos(distribution.gid_bytes)
    topic = Topic(peer.participant, "ros_discovery_info", kind, qos=LATCHED)
    reader = matched(DataReader(peer.participant, topic, qos=LATCHED))
    detections = matched(peer.subscriber("/robot/mdetr/detections", m.Detection2DArray))
    image = matched(peer.publisher("/robot/image", m.Image))
    node.wait_for_log("listening to /robot/image")

    # CycloneDDS gives the writer and the reader that it is matched with the same names.
    writer = detections.get_matched_publication_data(detections.get_matched_publications()[0])
    subscription = image.get_matched_subscription_data(image.get_matched_subscriptions()[0])

    def keys(gids):
        return {bytes(gid.data[:16]) for gid in gids}

    def complete(found):
        """Whether all is announced; that happens one by one."""
        nodes = [n for info in found for n in info.node_entities_info_seq]
        return any(
            writer.key.bytes in keys(n.writer_gid_seq)
            and subscription.key.bytes in keys(n.reader_gid_seq)
            and len(n.reader_gid_seq) > 10
            for n in nodes
        )

    found = take_until(reader, complete)[-1]
    assert [(n.node_namespace, n.node_name) for n in found.node_entities_info_seq] == [
        ("/robot", "mdetr")
    ]
    assert all(bytes(gid.data[16:]) == bytes(distribution.gid_bytes - 16) for gid in [found.gid])


def test_humble_answers_pictures_too(start, peer, scenes):
    from test_images import raw

    start(
        *["--ros-args", "-p", "queries:=[all cubes]", "-p", "reliability:=reliable"],
        binary="mdetr-ros2-humble",
    )
    detections = matched(peer.subscriber("/mdetr/detections", m.Detection2DArray))
    publisher = matched(peer.publisher("/image", m.Image))
    publisher.write(raw(scenes[0], 0))
    take_until(detections, lambda found: found)
    set_queries = peer.client("/mdetr/set_queries", "mdetr_msgs/srv/SetQueries")
    assert set_queries(queries=["a ball"]).revision == 2
