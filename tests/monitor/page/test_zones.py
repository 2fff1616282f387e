"""Zones and lines on the picture: by mouse, touch and keyboard."""

import pytest
from selenium.webdriver.common.keys import Keys

EDITOR = ".editor"


@pytest.fixture
def editor(page):
    page.open("#/cameras/table")
    page.is_live()
    page.click("Zones and lines")
    page.find('[data-shape="zone-left"]')
    return page


def zones(page):
    return {
        zone["id"]: zone["points"] for zone in page.monitor.document["camera"][0].get("zone", [])
    }


def lines(page):
    return {
        line["id"]: (line["from"], line["to"])
        for line in page.monitor.document["camera"][0].get("line", [])
    }


def save(page):
    page.click("Save changes")
    page.gone(".savebar .button")


def near(found, expected):
    flat = [value for point in found for value in point]
    assert flat == pytest.approx([value for point in expected for value in point], abs=0.006)


def choose(page, name):
    page.click(name)
    page.find(".handles .corner")


def drag(page, start, end):
    page.mouse(
        ("move", *page.at(EDITOR, *start)),
        ("down",),
        ("move", *page.at(EDITOR, 0.5, 0.5)),
        ("move", *page.at(EDITOR, *end)),
        ("up",),
    )


def test_zones_and_lines_are_shown_on_the_picture(page):
    page.open("#/cameras/table")
    page.find(f"{EDITOR} .zone text", "left")
    page.find(f"{EDITOR} .line text", "gate")
    page.find(f"{EDITOR} .arrowhead")


def test_a_zone_is_drawn_with_the_mouse(editor):
    editor.click("Add zone")
    corners = [(0.6, 0.6), (0.9, 0.6), (0.9, 0.9), (0.6, 0.9)]
    for corner in [*corners, corners[0]]:
        editor.mouse(("move", *editor.at(EDITOR, *corner)), ("down",), ("up",))
    editor.find('[data-shape="zone-zone"]')
    save(editor)
    near(zones(editor)["zone"], corners)
    near(zones(editor)["left"], [(0.05, 0.2), (0.55, 0.2), (0.55, 0.95), (0.05, 0.95)])


def test_enter_ends_a_zone_and_escape_stops_drawing(editor):
    editor.click("Add zone")
    for corner in [(0.6, 0.6), (0.9, 0.6), (0.9, 0.9)]:
        editor.mouse(("move", *editor.at(EDITOR, *corner)), ("down",), ("up",))
    editor.script("document.activeElement.blur()")
    editor.press(Keys.ENTER)
    editor.find('[data-shape="zone-zone"]')
    editor.click("Add line")
    editor.mouse(("move", *editor.at(EDITOR, 0.2, 0.2)), ("down",), ("up",))
    editor.find(f"{EDITOR} .sketch circle")
    editor.script("document.activeElement.blur()")
    editor.press(Keys.ESCAPE)
    editor.gone(f"{EDITOR} .sketch circle")
    assert len(editor.all(".shape")) == 3


def test_a_line_is_drawn_and_turned(editor):
    editor.click("Add line")
    for end in [(0.2, 0.8), (0.8, 0.8)]:
        editor.mouse(("move", *editor.at(EDITOR, *end)), ("down",), ("up",))
    editor.find('[data-shape="line-line"]')
    head = editor.script(
        "return document.querySelector('.line.chosen .arrow').getAttribute('y2') * 1"
    )
    middle = editor.script(
        "return document.querySelector('.line.chosen .grip').getAttribute('y1') * 1"
    )
    # Looking to the right of the picture, forward is to the right hand: down.
    assert head > middle
    editor.click("Turn the direction of line")
    head = editor.script(
        "return document.querySelector('.line.chosen .arrow').getAttribute('y2') * 1"
    )
    assert head < middle
    save(editor)
    near(lines(editor)["line"], [(0.8, 0.8), (0.2, 0.8)])


def test_a_point_is_dragged_and_undone(editor):
    choose(editor, "Zone left")
    drag(editor, (0.55, 0.95), (0.7, 0.7))
    save(editor)
    near(zones(editor)["left"], [(0.05, 0.2), (0.55, 0.2), (0.7, 0.7), (0.05, 0.95)])
    drag(editor, (0.7, 0.7), (0.8, 0.8))
    editor.click("Undo")
    editor.gone(".savebar .button")


def test_a_point_is_moved_by_touch(page):
    page.size(360, 740, mobile=True)
    page.driver.execute_cdp_cmd(
        "Emulation.setTouchEmulationEnabled", {"enabled": True, "maxTouchPoints": 1}
    )
    try:
        page.open("#/cameras/table")
        page.is_live()
        page.click("Zones and lines")
        page.click("Zone left")
        page.script("document.querySelector('.screen').scrollIntoView({block: 'center'})")
        page.find(".handles .corner")
        (x, y), (to_x, to_y) = page.at(EDITOR, 0.55, 0.2), page.at(EDITOR, 0.75, 0.3)
        for kind, points in [
            ("touchStart", [{"x": x, "y": y}]),
            ("touchMove", [{"x": (x + to_x) / 2, "y": (y + to_y) / 2}]),
            ("touchMove", [{"x": to_x, "y": to_y}]),
            ("touchEnd", []),
        ]:
            page.driver.execute_cdp_cmd(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": points}
            )
        save(page)
    finally:
        page.driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    near(zones(page)["left"], [(0.05, 0.2), (0.75, 0.3), (0.55, 0.95), (0.05, 0.95)])


def test_a_zone_is_made_and_moved_by_keyboard_only(editor):
    editor.script("arguments[0].focus()", editor.button("Add zone"))
    editor.press(Keys.ENTER)
    editor.find('[data-shape="zone-zone"]')
    assert editor.focused_name().startswith("zone, point 1 of 4")
    editor.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    editor.chord(Keys.SHIFT, Keys.ARROW_LEFT)
    assert editor.focused_name() == "zone, point 1 of 4: 26 % from the left, 30.5 % from the top"
    editor.press("+")
    assert editor.focused_name().startswith("zone, point 2 of 5")
    editor.press(Keys.DELETE)
    assert editor.focused_name().startswith("zone, point 1 of 4")
    save(editor)
    near(zones(editor)["zone"], [(0.26, 0.305), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7)])


def test_a_triangle_keeps_its_corners_and_undo_brings_back(editor):
    choose(editor, "Zone left")
    editor.script("document.querySelector('[data-part=\"point-0\"]').focus()")
    for _ in range(3):
        editor.press(Keys.DELETE)
    editor.find('[data-shape="zone-left"]', "3 points")
    editor.chord(Keys.CONTROL, "z")
    editor.find('[data-shape="zone-left"]', "4 points")


def test_an_edge_takes_a_new_point(editor):
    choose(editor, "Zone left")
    drag(editor, (0.3, 0.2), (0.3, 0.1))
    save(editor)
    near(zones(editor)["left"], [(0.05, 0.2), (0.3, 0.1), (0.55, 0.2), (0.55, 0.95), (0.05, 0.95)])


def test_a_new_name_reaches_the_rules(editor):
    editor.type(editor.field("Name of left"), "yard")
    editor.press(Keys.TAB)
    editor.find('[data-shape="zone-yard"]')
    save(editor)
    camera = editor.monitor.document["camera"][0]
    assert camera["zone"][0]["id"] == "yard"
    assert camera["rule"][0]["when"]["zone"] == "yard"


def test_names_are_checked(editor):
    editor.type(editor.field("Name of gate"), "a gate")
    editor.press(Keys.TAB)
    editor.find(".fault", "letters, digits, - and _")
    assert editor.field("Name of gate").get_attribute("value") == "a gate"


def test_what_rules_use_is_not_removed_and_the_rest_is(editor):
    editor.click("Remove left")
    editor.find(".fault", "Rules use it: red-seen")
    editor.click("Remove gate")
    save(editor)
    assert lines(editor) == {}
    assert "left" in zones(editor)


def test_edges_that_cross_are_told(editor):
    choose(editor, "Zone left")
    drag(editor, (0.55, 0.95), (0.3, 0.05))
    editor.find('[data-shape="zone-left"] .fault', "cross each other")


def test_nothing_is_lost_by_leaving(editor):
    editor.click("Remove gate")
    editor.script("location.hash = '#/events'")
    editor.find("dialog", "not saved")
    editor.click("Cancel")
    editor.find(".savebar", "Not saved yet")
    editor.script("location.hash = '#/events'")
    editor.click("Leave")
    editor.find("h1", "Events")
    assert "gate" in lines(editor)


@pytest.mark.stand_in
@pytest.mark.console("412")
def test_somebody_else_was_faster(editor):
    editor.click("Remove gate")
    editor.monitor.revision += 1
    editor.click("Save changes")
    editor.find(".savebar .fault", "Your changes are kept: save again")
    save(editor)
    assert lines(editor) == {}


@pytest.mark.stand_in
def test_changes_of_somebody_else_do_not_overwrite(editor):
    editor.click("Remove gate")

    def change(document):
        document["camera"][0]["zone"] = []
        document["camera"][0]["rule"] = []

    editor.monitor.change(change)
    editor.find(".savebar .fault", "Somebody else changed this camera")
    editor.find('[data-shape="zone-left"]')
    editor.click("Discard")
    editor.gone('[data-shape="zone-left"]')
    editor.find('[data-shape="line-gate"]')
