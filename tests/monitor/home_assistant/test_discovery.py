"""What the monitor publishes for discovery is what Home Assistant's own schemas take.

src/monitor/tests/home-assistant.json has the devices by topic; a test in Rust keeps it equal to
what is published. Releases of Home Assistant for Python 3.11 know single components only, so each
component of a device is checked as the single one that Home Assistant makes of it: with the
device's parts that all of them share.
"""

import json
import re
from pathlib import Path

import jinja2
import pytest
import voluptuous as vol
from homeassistant.components.mqtt import binary_sensor, image, sensor, switch, text
from homeassistant.components.mqtt.abbreviations import DEVICE_ABBREVIATIONS, ORIGIN_ABBREVIATIONS
from homeassistant.components.mqtt.discovery import TOPIC_MATCHER

PLATFORMS = {
    "binary_sensor": binary_sensor,
    "image": image,
    "sensor": sensor,
    "switch": switch,
    "text": text,
}
# What a device may say for all of its components (since Home Assistant 2024.11).
SHARED = {"availability", "availability_mode", "qos", "encoding", "state_topic", "command_topic"}
EXAMPLE = Path(__file__).parents[3] / "src/monitor/tests/home-assistant.json"
DEVICES = json.loads(EXAMPLE.read_text())
COMPONENTS = [
    (topic, key)
    for topic, device in DEVICES.items()
    for key, component in device["cmps"].items()
    if len(component) > 1
]


def single(device, key):
    """The component as Home Assistant hands it to its platform."""
    shared = {name: value for name, value in device.items() if name in SHARED}
    component = shared | device["cmps"][key]
    platform = component.pop("p")
    component["device"] = {DEVICE_ABBREVIATIONS.get(k, k): v for k, v in device["dev"].items()}
    component["origin"] = {ORIGIN_ABBREVIATIONS.get(k, k): v for k, v in device["o"].items()}
    return platform, component


@pytest.mark.parametrize("topic", DEVICES)
def test_devices_have_what_the_form_needs(topic):
    device = DEVICES[topic]
    assert TOPIC_MATCHER.match(topic.removeprefix("homeassistant/"))
    assert set(device) <= {"dev", "o", "cmps"} | SHARED
    assert device["o"]["name"]
    assert device["dev"]["ids"]
    removed = [component for component in device["cmps"].values() if len(component) == 1]
    assert removed
    assert all(component["p"] in PLATFORMS for component in removed)


@pytest.mark.parametrize(("topic", "key"), COMPONENTS)
def test_components_are_understood(topic, key):
    platform, component = single(DEVICES[topic], key)
    taken = PLATFORMS[platform].DISCOVERY_SCHEMA(component)
    # What a schema does not know it leaves out.
    assert set(component) - set(taken) <= {"origin"}
    assert taken["unique_id"]
    assert taken["qos"] == 1


def test_each_query_and_rule_has_its_components():
    found = sorted((DEVICES[topic]["cmps"][key]["p"], key) for topic, key in COMPONENTS)
    expected = [("switch", "enabled"), ("switch", "rule_no-helmet_enabled")]
    expected.append(("binary_sensor", "rule_no-helmet_state"))
    for query in ["helmet", "how many / cones?"]:
        parts = [("binary_sensor", "state"), ("sensor", "count")]
        parts += [("image", "snapshot"), ("text", "text")]
        expected += [(platform, f"query_{query}_{part}") for platform, part in parts]
    expected.append(("sensor", "query_how many / cones?_answer"))
    assert found == sorted(expected)


def test_schemas_refuse_what_is_wrong():
    topic, key = next((topic, key) for topic, key in COMPONENTS if key.endswith("_text"))
    platform, component = single(DEVICES[topic], key)
    for wrong in [{"max": "many"}, {"command_topic": "a/#"}, {"entity_category": "other"}]:
        with pytest.raises(vol.Invalid):
            PLATFORMS[platform].DISCOVERY_SCHEMA(component | wrong)


def templates(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "value_template":
                yield inner
            yield from templates(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from templates(inner)


def test_templates_give_what_home_assistant_compares():
    found = set(templates(DEVICES))
    assert found
    for template in found:
        rendered = jinja2.Template(template).render
        if "online" in template:
            words = [rendered(value=word) for word in ["online", "stopped", "stalled"]]
            assert words == ["online", "offline", "offline"]
        else:
            assert re.search(r"\[:255\]", template)
            assert rendered(value="x" * 300) == "x" * 255
