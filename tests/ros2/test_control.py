"""Parameters, prompts, switches, states, the log and diagnostics, by services and topics."""

import itertools
import json
import threading
import time

import messages as m
import pytest
from conftest import BEGIN, PERIOD, header, matched, stamp, take_until, wait_for
from test_images import raw

INTEGER, DOUBLE, STRING, STRINGS = 2, 3, 4, 9
NAMES = {
    "autostart",
    "ca_file",
    "cameras",
    "depth",
    "depth_tolerance",
    "endpoints",
    "engine",
    "fallback",
    "image_transport",
    "masks",
    "max_detections",
    "max_rate",
    "model",
    "overlap_threshold",
    "phrase_threshold",
    "queries",
    "queue_size",
    "rectified",
    "reliability",
    "remote_deadline",
    "rules",
    "score_threshold",
    "short_side",
    "text_cache_dir",
    "token_file",
    "track",
    "use_sim_time",
}


def parameter(name, value):
    kinds = {bool: (1, "bool"), int: (2, "integer"), float: (3, "double"), str: (4, "string")}
    if isinstance(value, list):
        return m.Parameter(name, m.ParameterValue(type=STRINGS, string_array_value=value))
    kind, member = kinds[type(value)]
    return m.Parameter(name, m.ParameterValue(type=kind, **{f"{member}_value": value}))


def rcl(peer, service, node="/mdetr", cyclone=False):
    words = "".join(word.capitalize() for word in service.split("_"))
    return peer.client(f"{node}/{service}", f"rcl_interfaces/srv/{words}", cyclone)


class Stream:
    """Sends a picture again and again, and keeps what comes of it."""

    def __init__(self, peer, path, rate=30, image="/image", node="/mdetr"):
        self.publisher = matched(peer.publisher(image, m.Image))
        self.results = matched(peer.subscriber(f"{node}/result", m.String))
        self.detections = matched(peer.subscriber(f"{node}/detections", m.Detection2DArray))
        self.path, self.rate = path, rate
        self.sent = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        message = raw(self.path, 0)
        begun = time.monotonic()
        for number in itertools.count():
            message.header = header(number)
            self.publisher.write(message)
            self.sent.append((number, stamp(message)))
            wait = begun + (number + 1) / self.rate - time.monotonic()
            if self.stopping.wait(max(wait, 0)):
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()

    def next_line(self):
        """The result of the next picture that is sent from now on."""
        after = len(self.sent)

        def number(message):
            return round((json.loads(message.data)["pts_ns"] - BEGIN) / PERIOD)

        found = take_until(self.results, lambda found: any(number(line) > after for line in found))
        return next(json.loads(line.data) for line in found if number(line) > after)


def texts(line):
    return [query["text"] for query in line["queries"]]


@pytest.mark.parametrize("cyclone", [False, True], ids=["enhanced", "cyclone"])
def test_every_parameter_service(start, peer, cyclone):
    env = {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"} if cyclone else {}
    start("--ros-args", "-p", "max_rate:=5", env=env)
    listed = rcl(peer, "list_parameters", cyclone=cyclone)(prefixes=[], depth=0)
    assert set(listed.result.names) == NAMES
    assert rcl(peer, "list_parameters", cyclone=cyclone)(
        prefixes=["model"], depth=0
    ).result.names == ["model"]

    get = rcl(peer, "get_parameters", cyclone=cyclone)
    values = get(names=["max_rate", "queries", "no_such"]).values
    assert [value.type for value in values] == [DOUBLE, STRINGS, 0]
    assert values[0].double_value == 5.0
    kinds = rcl(peer, "get_parameter_types", cyclone=cyclone)(names=["engine", "queue_size"])
    assert list(kinds.types) == [STRING, INTEGER]

    described = rcl(peer, "describe_parameters", cyclone=cyclone)(names=sorted(NAMES)).descriptors
    assert all(len(descriptor.description) > 15 for descriptor in described)
    by_name = {descriptor.name: descriptor for descriptor in described}
    assert by_name["score_threshold"].floating_point_range[0].to_value == 1.0
    assert by_name["queue_size"].integer_range[0].from_value == 1
    assert by_name["autostart"].read_only and not by_name["queries"].read_only

    events = matched(peer.subscriber("/parameter_events", m.ParameterEvent))
    set_one = rcl(peer, "set_parameters", cyclone=cyclone)
    results = set_one(
        parameters=[
            parameter("max_rate", 7.5),
            parameter("engine", "cuda"),
            parameter("queue_size", 3),
            parameter("no_such", 1),
        ]
    ).results
    assert [result.successful for result in results] == [True, False, False, False]
    assert "engine: expected auto" in results[1].reason
    assert "unconfigured" in results[2].reason
    assert "no_such: there is no such parameter" in results[3].reason
    event = take_until(events, lambda found: found)[0]
    assert event.node == "/mdetr"
    changed = [(p.name, p.value.double_value) for p in event.changed_parameters]
    assert changed == [("max_rate", 7.5)]

    at_once = rcl(peer, "set_parameters_atomically", cyclone=cyclone)
    refused = at_once(parameters=[parameter("max_rate", 9.0), parameter("queries", ["[a"])]).result
    assert not refused.successful and "queries" in refused.reason
    assert get(names=["max_rate"]).values[0].double_value == 7.5
    taken = at_once(
        parameters=[parameter("max_rate", 9.0), parameter("queries", ["a cone"])]
    ).result
    assert taken.successful
    values = get(names=["max_rate", "queries"]).values
    assert (values[0].double_value, list(values[1].string_array_value)) == (9.0, ["a cone"])


def test_parameters_set_at_once_are_one_revision(start, peer, scenes):
    start("--ros-args", "-p", "queries:=[a cone]", "-p", "reliability:=reliable")
    at_once = rcl(peer, "set_parameters_atomically")
    with Stream(peer, scenes[0]) as stream:
        before = stream.next_line()["revision"]
        for sentence, threshold in [("a cube", 0.99), ("a ball", 0.01), ("a cylinder", 0.5)]:
            assert at_once(
                parameters=[
                    parameter("queries", [sentence]),
                    parameter("score_threshold", threshold),
                ]
            ).result.successful
            line = stream.next_line()
            before += 1
            assert (line["revision"], texts(line)) == (before, [sentence])
            scores = [d["score"] for query in line["queries"] for d in query["detections"]]
            assert all(score >= threshold for score in scores)
        # What is the same is no new revision; each set alone is one.
        same = parameter("queries", ["a cylinder"])
        assert at_once(parameters=[same]).result.successful
        assert stream.next_line()["revision"] == before
        one_by_one = rcl(peer, "set_parameters")
        one_by_one(parameters=[parameter("queries", ["a"]), parameter("score_threshold", 0.25)])
        assert stream.next_line()["revision"] == before + 2


@pytest.mark.parametrize("cyclone", [False, True], ids=["enhanced", "cyclone"])
def test_prompts(start, peer, scenes, cyclone):
    env = {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"} if cyclone else {}
    node = start("--ros-args", "-p", "reliability:=reliable", env=env)
    set_prompt = peer.client(
        "/mdetr/set_prompt", "isaac_ros_grounding_dino_interfaces/srv/SetPrompt", cyclone
    )
    set_queries = peer.client("/mdetr/set_queries", "mdetr_msgs/srv/SetQueries", cyclone)
    by_topic = matched(peer.publisher("/mdetr/input_query", m.String))
    with Stream(peer, scenes[0]) as stream:
        assert texts(stream.next_line()) == []
        assert set_prompt("[a red ball] left of a cube").success
        assert texts(stream.next_line()) == ["a red ball left of a cube"]
        prompt = json.dumps({"queries": ["a cone", {"id": "mug", "text": "a cylinder"}]})
        assert set_prompt(prompt).success
        line = stream.next_line()
        assert [(q["id"], q["text"]) for q in line["queries"]] == [
            ("q1", "a cone"),
            ("mug", "a cylinder"),
        ]
        answer = set_queries(queries=["all cubes", "a ball"])
        assert answer.success and answer.revision == line["revision"] + 1
        line = stream.next_line()
        assert (line["revision"], texts(line)) == (answer.revision, ["all cubes", "a ball"])

        for bad in ["[a", "", '{"queries": 7}', "a " * 3000]:
            assert not set_prompt(bad).success
        refused = set_queries(queries=["a [cube"])
        assert not refused.success and refused.revision == answer.revision
        assert "'['" in refused.message
        assert texts(stream.next_line()) == ["all cubes", "a ball"]

        by_topic.write(m.String("a purple thing"))
        wait_for(lambda: texts(stream.next_line()) == ["a purple thing"])
        by_topic.write(m.String("[a"))
        node.wait_for_log("/mdetr/input_query: refused")
        assert texts(stream.next_line()) == ["a purple thing"]


def test_a_hundred_prompts_at_thirty_pictures_a_second(start, peer, scenes):
    parameters = [
        "queries:=[revision 1]",
        "reliability:=reliable",
        "queue_size:=100",
        "short_side:=128",
    ]
    start("--ros-args", *(word for parameter in parameters for word in ("-p", parameter)))
    set_queries = peer.client("/mdetr/set_queries", "mdetr_msgs/srv/SetQueries")
    sentences = {1: "revision 1"}
    answered_at = {}
    with Stream(peer, scenes[0]) as stream:
        take_until(stream.results, lambda found: len(found) >= 30)
        for number in range(100):
            sentence = f"the {['red', 'blue', 'green', 'big'][number % 4]} ball number {number}"
            answer = set_queries(queries=[sentence])
            assert answer.success and answer.revision == number + 2
            sentences[answer.revision] = sentence
            answered_at[answer.revision] = len(stream.sent)
            time.sleep(0.05)
    count = len(stream.sent)
    arrays = take_until(stream.detections, lambda found: len(found) >= count)
    begun = len(arrays) - 1
    lines = take_until(
        stream.results, lambda found: found and json.loads(found[-1].data)["frame"] == begun
    )
    lines = [json.loads(line.data) for line in lines]
    # None was lost, and each answers one revision: its sentence, and none before one that was
    # answered already.
    last = len(stream.sent) - 1
    frames = [line["frame"] for line in lines]
    assert frames == list(range(frames[0], last + 1))
    assert [stamp(array) for array in arrays] == [sent for _, sent in stream.sent]
    revisions = [line["revision"] for line in lines]
    assert revisions == sorted(revisions)
    assert len(set(revisions)) > 50
    for line in lines:
        assert texts(line) == [sentences[line["revision"]]]
        # A picture that was sent after the answer is answered by that revision or a later one.
        begun = max(
            (revision for revision, at in answered_at.items() if at < line["frame"]), default=1
        )
        assert line["revision"] >= begun


def test_enable(start, peer, scenes):
    start("--ros-args", "-p", "queries:=[a cone]", "-p", "reliability:=reliable")
    enable = peer.client("/mdetr/enable", "std_srvs/srv/SetBool")
    with Stream(peer, scenes[0]) as stream:
        stream.next_line()
        assert enable(False).success
        time.sleep(0.3)
        stream.results.take(1000)
        time.sleep(0.5)
        assert stream.results.take(1000) == []
        assert enable(True).success
        stream.next_line()


def test_states_and_transitions(start, peer, scenes):
    node = start("--ros-args", "-p", "autostart:=false", "-p", "queries:=[a cone]")
    transition_events = matched(peer.subscriber("/mdetr/transition_event", m.TransitionEvent))
    client = {
        name: peer.client(f"/mdetr/{name}", f"lifecycle_msgs/srv/{kind}")
        for name, kind in [
            ("change_state", "ChangeState"),
            ("get_state", "GetState"),
            ("get_available_states", "GetAvailableStates"),
            ("get_available_transitions", "GetAvailableTransitions"),
            ("get_transition_graph", "GetAvailableTransitions"),
        ]
    }

    def state():
        current = client["get_state"]().current_state
        return (current.id, current.label)

    def change(number, label=""):
        return client["change_state"](transition=m.Transition(number, label)).success

    assert state() == (1, "unconfigured")
    states = client["get_available_states"]().available_states
    assert [s.id for s in states] == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14, 15]
    assert len(client["get_transition_graph"]().available_transitions) == 25
    available = client["get_available_transitions"]().available_transitions
    assert [(t.transition.id, t.goal_state.label) for t in available] == [
        (1, "configuring"),
        (5, "shuttingdown"),
    ]
    set_queries = peer.client("/mdetr/set_queries", "mdetr_msgs/srv/SetQueries")
    refused = set_queries(queries=["a cube"])
    assert not refused.success and "unconfigured" in refused.message

    assert not change(3)  # activate
    assert state() == (1, "unconfigured")
    at_once = rcl(peer, "set_parameters_atomically")
    reliable = [parameter("reliability", "reliable"), parameter("model", "/no/such/model")]
    assert at_once(parameters=reliable).result.successful
    assert not change(1)
    assert state() == (1, "unconfigured")
    node.wait_for_log("/no/such/model")
    assert at_once(parameters=[parameter("model", "")]).result.successful
    assert change(0, "configure")
    assert state() == (2, "inactive")
    assert not at_once(parameters=[parameter("reliability", "best_effort")]).result.successful
    assert change(3)
    assert state() == (3, "active")
    with Stream(peer, scenes[0]) as stream:
        stream.next_line()
        assert change(4)
        assert state() == (2, "inactive")
        time.sleep(0.2)
        stream.results.take(1000)
        time.sleep(0.4)
        assert stream.results.take(1000) == []
        assert change(3)
        stream.next_line()
    for number in (4, 2, 1, 3):
        assert change(number)
    assert change(7)
    assert state() == (4, "finalized")
    assert not change(1)

    events = transition_events.take(1000)
    steps = [(e.start_state.label, e.transition.label, e.goal_state.label) for e in events]
    assert steps[:4] == [
        ("unconfigured", "configure", "configuring"),
        ("configuring", "transition_failure", "unconfigured"),
        ("unconfigured", "configure", "configuring"),
        ("configuring", "transition_success", "inactive"),
    ]
    assert steps[-1] == ("shuttingdown", "transition_success", "finalized")
    assert all(before[2] == after[0] for before, after in itertools.pairwise(steps))


def test_the_model_is_changed_while_pictures_come(start, peer, scenes, tmp_path):
    start("--ros-args", "-p", "queries:=[a cone]", "-p", "reliability:=reliable")
    at_once = rcl(peer, "set_parameters_atomically")
    with Stream(peer, scenes[0]) as stream:
        first = stream.next_line()["revision"]
        wrong = at_once(parameters=[parameter("model", str(tmp_path))]).result
        assert not wrong.successful and str(tmp_path) in wrong.reason
        assert stream.next_line()["revision"] == first
        assert at_once(parameters=[parameter("engine", "tract")]).result.successful
        assert stream.next_line()["revision"] == first + 1
        diagnostics = matched(peer.subscriber("/diagnostics", m.DiagnosticArray))
        status = take_until(diagnostics, lambda found: found)[-1].status[0]
        values = {pair.key: pair.value for pair in status.values}
        assert (values["engine"], values["revision"]) == ("tract", str(first + 1))


def test_diagnostics_and_the_log(start, peer, scenes):
    start(
        "--ros-args", "-p", "queries:=[a cone]", "-p", "reliability:=reliable", "-r", "__ns:=/robot"
    )
    rosout = matched(peer.subscriber("/rosout", m.Log))
    diagnostics = matched(peer.subscriber("/diagnostics", m.DiagnosticArray))
    silent = "no picture came yet on /robot/image"
    told = take_until(diagnostics, lambda found: found and silent in found[-1].status[0].message)
    status = told[-1].status[0]
    assert (status.name, status.level) == ("/robot/mdetr", 1)
    with Stream(peer, scenes[0], image="/robot/image", node="/robot/mdetr") as stream:
        stream.next_line()
        time.sleep(1.5)
        found = take_until(diagnostics, lambda found: len(found) >= 2)
        status = found[-1].status[0]
        values = {pair.key: pair.value for pair in status.values}
        assert (status.level, values["state"]) == (0, "active")
        assert int(values["answered"]) > 10 and float(values["rate_hz"]) > 2
        assert float(values["inference_ms"]) > 0
        assert values["failed"] == "0"
        broken = raw(scenes[0], 1)
        broken.encoding = "bayer_rggb8"

        def logged(logs):
            # Others may take its place before it is looked at.
            stream.publisher.write(broken)
            return any("bayer_rggb8" in log.msg for log in logs)

        logs = take_until(rosout, logged)
    error = next(log for log in logs if "bayer_rggb8" in log.msg)
    assert (error.level, error.name) == (40, "robot.mdetr")
    assert "/robot/image" in error.msg and error.file.endswith(".rs") and error.line > 0
