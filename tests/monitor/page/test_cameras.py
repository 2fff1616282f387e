"""Live pictures, and words that light up with boxes."""

import pytest
from selenium.webdriver.common.action_chains import ActionChains

RED = '[data-query="red"]'


def test_all_cameras_are_live_side_by_side(page):
    page.open("#/")
    for camera in ("table", "bench", "shelf"):
        assert page.is_live(camera)
        page.find(f'[data-camera="{camera}"] .status', "online")
    page.wait(lambda: page.ink('[data-camera="table"] .overlay') > 100)


def test_a_tile_says_what_is_seen_and_leads_to_its_camera(page):
    page.open("#/")
    tile = '[data-camera="table"]'
    page.find(f"{tile} .lines", "a red object left of a blue object")
    page.find(f"{tile} .lines", "seen")
    page.find(f"{tile} .lines", "Not seen")
    page.find(f"{tile} .lines", "1 more")
    page.click("Open table")
    page.find("h1", "table")
    assert page.is_live()


def test_the_large_view_draws_boxes_in_sync_and_hides_them(page):
    page.open("#/cameras/table")
    assert page.is_live()
    page.wait(lambda: page.ink() > 1000)
    page.click("Boxes")
    assert page.ink() == 0
    page.click("Boxes")
    page.wait(lambda: page.ink() > 1000)


def test_boxes_are_crisp_on_screens_with_many_pixels(page):
    page.size(360, 740, mobile=True)
    page.open("#/cameras/table")
    assert page.is_live()
    ratio = page.script(
        "const c = document.querySelector('.overlay'); return c.width / c.clientWidth"
    )
    assert ratio == pytest.approx(2, abs=0.02)


def test_sentences_say_what_is_seen_and_what_is_not(page):
    page.open("#/cameras/table")
    page.find(f"{RED} .found", "seen")
    page.find(f"{RED} .chip", "a red object")
    page.find('[data-query="cones"] .found', "Not seen")
    assert page.find(f"{RED} .target").text == "a red object"


def test_questions_show_their_answer_with_its_probability(page):
    page.open("#/cameras/table")
    found = page.find('[data-query="count"] .found', "%").text
    number, probability = found.split(" · ")[:2]
    assert number.isdigit()
    assert 0 < int(probability.removesuffix(" %")) <= 100


def test_objects_have_track_numbers(page):
    page.open("#/cameras/table")
    page.find(f"{RED} .chip", "#")


def test_pointing_at_words_lights_their_boxes(page):
    page.open("#/cameras/table")
    page.find(f"{RED} .grounded")
    page.click("Boxes")
    page.click("Boxes")
    words = page.find(f"{RED} .grounded")
    ActionChains(page.driver).move_to_element(words).perform()
    page.find(f"{RED} .words .lit")
    ActionChains(page.driver).move_to_element(page.find("h1")).perform()
    page.gone(f"{RED} .words .lit")


def test_pointing_at_a_box_lights_its_words(page):
    page.open("#/cameras/bench")
    assert page.is_live()
    # Where the first object of the first sentence is, in parts of the picture.
    page.find('[data-query="green"] .chip')
    page.wait(lambda: point_at_first(page, "bench", "green"))
    page.find('[data-query="green"] .words .lit')


def point_at_first(page, camera, query):
    """Moves the mouse to the middle of a query's first box, as the live connection tells it."""
    place = page.driver.execute_async_script(
        """const [camera, query, done] = arguments;
        const socket = new WebSocket(`ws://${location.host}/api/cameras/${camera}/live`);
        socket.binaryType = 'arraybuffer';
        socket.onmessage = ({data}) => {
          const bytes = new Uint8Array(data, 4, new DataView(data).getUint32(0));
          const text = new TextDecoder().decode(bytes);
          const report = JSON.parse(text);
          const found = report.queries.find(({id}) => id === query)?.detections?.[0];
          if (!found) return;
          socket.close();
          const [x, y, w, h] = found.box;
          done([(x + w / 2) / report.size[0], (y + h / 2) / report.size[1]]);
        };""",
        camera,
        query,
    )
    page.mouse(("move", *page.at(".overlay", *place)))
    return page.all(f'[data-query="{query}"] .words .lit')


def test_objects_can_be_reached_by_keyboard(page):
    page.open("#/cameras/table")
    chip = page.find(f"{RED} .chip")
    page.script("arguments[0].focus()", chip)
    page.find(f"{RED} .words .lit")
    page.find(f"{RED} .chip.lit")
    page.script("arguments[0].blur()", chip)
    page.gone(f"{RED} .words .lit")


@pytest.mark.stand_in
def test_old_results_say_their_age(page):
    page.monitor.age_ms = 4200.0
    page.open("#/cameras/table")
    page.find(f"{RED} .found", "result 4.2 s old")


@pytest.mark.stand_in
def test_spans_are_code_points(page):
    def change(document):
        document["camera"][0]["query"] = [{"id": "red", "text": "👍🏽 [a red object]"}]

    page.monitor.change(change)
    for report, _ in page.monitor.frames["table"]:
        red = next(result for result in report["queries"] if result["id"] == "red")
        for detection in red.get("detections", []):
            assert detection["phrases"][0]["span"] == [0, 12]
    page.open("#/cameras/table")
    page.find(f"{RED} .target", "a red object")
    assert page.script("return document.querySelector('.words').textContent") == "👍🏽 a red object"


@pytest.mark.stand_in
def test_only_what_is_visible_streams(page):
    page.open("#/")
    page.is_live("table")
    page.wait(lambda: len(page.monitor.sockets) == 3)
    page.size(1440, 300)
    page.wait(lambda: len(page.monitor.sockets) < 3)
    page.size(1440, 900)
    page.wait(lambda: len(page.monitor.sockets) == 3)
    page.open("#/events")
    page.wait(lambda: not page.monitor.sockets)


@pytest.mark.stand_in
def test_a_hidden_tab_does_not_stream(page):
    page.open("#/")
    page.is_live("table")
    hide = (
        "Object.defineProperty(document, 'hidden', {value: arguments[0], configurable: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    page.script(hide, True)
    page.wait(lambda: not page.monitor.sockets)
    page.script(hide, False)
    page.wait(lambda: len(page.monitor.sockets) == 3)


@pytest.mark.stand_in
@pytest.mark.console("WebSocket connection .* failed", "503")
def test_without_a_live_connection_pictures_come_one_by_one_until_it_works(page):
    page.monitor.live = False
    page.open("#/cameras/table")
    page.find(".note", "Single pictures")
    assert ("GET", "/api/cameras/table/picture.jpg") in page.monitor.requests
    page.monitor.live = True
    assert page.is_live()
    page.gone(".note")


@pytest.mark.stand_in
def test_the_state_of_a_camera_is_told_as_it_changes(page):
    page.open("#/")
    page.find('[data-camera="bench"] .status', "online")
    page.monitor.set_state("bench", state="offline", message="no route to host", fps=0)
    page.find('[data-camera="bench"] .status', "offline")
    page.find('[data-camera="bench"] .note', "offline")
    page.open("#/cameras/bench")
    page.find(".facts", "no route to host")
    page.monitor.set_state("bench", state="online", message=None, fps=15.0)
    page.find(".facts", "online since")
    page.gone(".note")


def test_a_camera_is_switched_off_and_on(page):
    page.open("#/cameras/shelf")
    assert page.is_live()
    toggle = page.script("return document.querySelector('.head .switch input')")
    page.script("arguments[0].click()", toggle)
    page.find(".note", "Switched off")
    camera = next(c for c in page.monitor.document["camera"] if c["name"] == "shelf")
    assert camera["enabled"] is False
    page.script("arguments[0].click()", toggle)
    page.gone(".note")
    assert page.is_live()


def test_cameras_before_and_behind(page):
    page.open("#/cameras/table")
    page.click("Next camera")
    page.find("h1", "bench")
    page.press("[")
    page.find("h1", "table")
    page.press("[")
    page.find("h1", "shelf")
    page.click("All cameras")
    page.find(".grid")


def test_a_camera_that_is_not_there(page):
    page.open("#/cameras/attic")
    page.find(".empty", "There is no camera “attic”.")


def test_full_screen(page):
    page.open("#/cameras/table")
    page.is_live()
    page.click("Full screen")
    page.wait(
        lambda: page.script("return document.fullscreenElement?.classList.contains('screen')")
    )
    page.script("return document.exitFullscreen()")
