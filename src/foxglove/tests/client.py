"""A client of Foxglove's protocol."""

import json
import struct
import time
from contextlib import ExitStack

from websockets.sync.client import connect

PROTOCOL = "foxglove.sdk.v1"


class Client:
    """A connection, with what the server offered."""

    def __init__(self, address, **options):
        self.stack = ExitStack()
        options = {"subprotocols": [PROTOCOL], "max_size": None, **options}
        self.socket = self.stack.enter_context(connect(f"ws://{address}", **options))
        assert self.socket.subprotocol == PROTOCOL
        self.channels = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

    def send(self, **message):
        self.socket.send(json.dumps(message))

    def receive(self, until, seconds=10):
        """The first message that `until` accepts: JSON, or subscription, time and bytes."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            message = self.socket.recv(timeout=left)
            if isinstance(message, str):
                message = json.loads(message)
                if message["op"] == "advertise":
                    self.channels |= {each["topic"]: each for each in message["channels"]}
            else:
                kind, subscription, stamp = struct.unpack("<BIQ", message[:13])
                assert kind == 1
                message = (subscription, stamp, message[13:])
            if until(message):
                return message
        raise AssertionError(f"nothing came in {seconds} seconds")

    def json(self, operation):
        return self.receive(
            lambda message: isinstance(message, dict) and message["op"] == operation
        )

    def data(self, seconds=10):
        return self.receive(lambda message: isinstance(message, tuple), seconds)

    def wait_for_channels(self, *topics, count=2):
        """Waits for the topics, or as many as `count`."""
        while len(self.channels) < count or not self.channels.keys() >= set(topics):
            self.json("advertise")

    def subscribe(self, topics):
        """Subscribes to topics, each with a number that its messages bear: `{"/a": 5}`."""
        subscriptions = [
            {"id": number, "channelId": self.channels[topic]["id"]}
            for topic, number in topics.items()
        ]
        self.send(op="subscribe", subscriptions=subscriptions)

    def answer(self, number):
        """The answer to the request with this number."""
        return self.receive(
            lambda message: isinstance(message, dict) and message.get("id") == number
        )

    def queries(self):
        """The parameter."""
        self.send(op="getParameters", parameterNames=["queries"], id="get")
        (parameter,) = self.answer("get")["parameters"]
        return parameter["value"]

    def set_queries(self, value):
        """Sets the parameter; gives what is in force then."""
        parameters = [{"name": "queries", "value": value}]
        self.send(op="setParameters", parameters=parameters, id="set")
        (parameter,) = self.answer("set")["parameters"]
        return parameter["value"]
