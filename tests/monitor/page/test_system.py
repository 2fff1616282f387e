"""How the monitor does, who may do what, and what is said when it is not reached."""

import re

import pytest
from selenium.webdriver.common.keys import Keys


@pytest.fixture
def system(page):
    page.open("#/system")
    page.find("tbody tr")
    return page


def test_cameras_broker_and_disk(system):
    row = 'tr[data-camera="table"]'
    system.find(row, "online")
    system.wait(lambda: re.search(r"640 \S 480", system.text(row)))
    system.find('[data-panel="disk"]', "writing")
    system.find('[data-panel="disk"]', "free")
    system.find('[data-panel="program"]', "Revision")
    system.find(".history", "Revision")


def test_a_camera_is_added_and_removed(system):
    system.click("Add camera")
    system.type(system.field("Name"), "no name")
    system.type(system.field("Address"), "tabletop://?seed=3")
    system.pick("dialog .primary")
    system.find("dialog .fault", "letters, digits")
    system.type(system.field("Name"), "attic")
    system.pick("dialog .primary")
    system.gone("dialog")
    system.find('tr[data-camera="attic"]')
    system.click("Remove camera attic")
    system.pick("dialog .danger")
    system.gone('tr[data-camera="attic"]')


@pytest.mark.console("422")
def test_what_is_wrong_with_a_camera_is_said_and_kept(system):
    system.click("Add camera")
    system.type(system.field("Name"), "attic")
    system.type(system.field("Address"), "gopher://attic")
    system.pick("dialog .primary")
    system.find("dialog .fault", "url: expected one of")
    assert system.field("Address").get_attribute("value") == "gopher://attic"


@pytest.mark.stand_in
def test_a_broker_and_a_disk_that_fail_are_told(system):
    system.monitor.set_broker(connected=False, message="connection refused", waiting=12)
    system.find('[data-banner="broker"]', "connection refused 12 events wait")
    system.find('[data-panel="broker"]', "not connected")
    system.monitor.set_store(writable=False, message="the disk is full", waiting=4)
    system.find('[data-banner="store"]', "the disk is full")
    system.find('[data-panel="disk"]', "cannot write")
    system.monitor.set_broker(connected=True, message=None, waiting=0)
    system.monitor.set_store(writable=True, message=None, waiting=0)
    system.gone("[data-banner]")


@pytest.mark.stand_in
def test_no_broker_is_no_fault(page):
    page.monitor.broker = None
    page.open("#/system")
    page.find('[data-panel="broker"]', "Not set up")
    assert not page.all("[data-banner]")


@pytest.mark.stand_in
@pytest.mark.console(
    "ERR_CONNECTION_REFUSED", "WebSocket", "ERR_INCOMPLETE", "ERR_EMPTY", "ERR_CONNECTION_RESET"
)
def test_a_lost_program_is_told_and_found_again(page):
    page.open("#/cameras/table")
    page.is_live()
    page.monitor.stop()
    try:
        page.find('[data-banner="link"]', "The monitor is not reached")
        page.find('[data-banner="link"]', "Next try in")
        page.find(".screen.stale")
    finally:
        page.monitor.start()
    page.gone('[data-banner="link"]')
    page.find("#toast", "reached again")
    assert page.is_live()


@pytest.mark.stand_in
@pytest.mark.console("401")
def test_a_token_is_asked_for(page):
    page.monitor.tokens = {"right": "admin"}
    page.open("#/cameras/table")
    page.type(page.field("Token"), "wrong")
    page.press(Keys.ENTER)
    page.find(".fault", "not known")
    page.type(page.field("Token"), "right")
    page.press(Keys.ENTER)
    page.find("h1", "table")
    assert page.is_live()
    page.click("Log out")
    page.find("h1", "Log in")


@pytest.mark.stand_in
@pytest.mark.console("401")
def test_a_session_that_ends_asks_again_and_keeps_the_place(page):
    page.monitor.tokens = {"right": "admin"}
    page.open("#/system")
    page.type(page.field("Token"), "right")
    page.press(Keys.ENTER)
    page.find("h1", "System")
    page.monitor.sessions.clear()
    page.monitor.tell("config", {"revision": 4})
    page.find("h1", "Log in")
    page.type(page.field("Token"), "right")
    page.press(Keys.ENTER)
    page.find("h1", "System")


@pytest.mark.stand_in
@pytest.mark.console("401")
def test_viewers_look_and_are_told_why_they_cannot_change(page):
    page.monitor.tokens = {"look": "viewer"}
    event = page.monitor.event()
    page.open("#/cameras/table")
    page.type(page.field("Token"), "look")
    page.press(Keys.ENTER)
    page.find('[data-banner="viewer"]', "You may look, not change")
    assert page.is_live()
    assert not page.find("#prompt").is_enabled()
    for name in ("Edit “all cones”", "Remove “all cones”", "Make a rule of “all cones”"):
        assert not page.button(name).is_enabled()
    assert "role viewer" in page.button("Edit “all cones”").get_attribute("title")
    page.click("Rules")
    assert not page.button("Add rule").is_enabled()
    page.click("Zones and lines")
    assert not page.button("Add zone").is_enabled()
    assert not page.field("Name of left").is_enabled()
    page.script("location.hash = arguments[0]", f"#/events/{event['id']}")
    page.wait(
        lambda: not page.button("Remove").is_enabled() and not page.button("Keep").is_enabled()
    )
    page.script("location.hash = '#/system'")
    page.wait(lambda: not page.button("Add camera").is_enabled())


@pytest.mark.stand_in
def test_no_camera_at_all(page):
    page.monitor.change(lambda document: document["camera"].clear())
    page.open("#/")
    page.find(".empty", "There is no camera yet")
    page.pick(".empty .primary", "Add camera")
    page.find("dialog", "Add a camera")
