"""The timeline, and each event in it."""

from datetime import timedelta

import pytest
from documents import now
from selenium.webdriver.common.keys import Keys

ROW = ".events .event"


def ids(page):
    return page.script(
        "return [...document.querySelectorAll('.events .event')].map(e => e.dataset.event)"
    )


@pytest.fixture
def timeline(page):
    page.monitor.have_events()
    page.open("#/events")
    page.find(ROW)
    return page


def test_events_are_listed_newest_first_with_their_words(timeline):
    row = timeline.find(ROW, "a red object left of a blue object")
    assert "table · red-seen" in row.text
    timeline.find(f"{ROW} mark", "a red object")
    timeline.find(f"{ROW} .badge.live", "Open")
    starts = timeline.script(
        "return [...document.querySelectorAll('.event time')].map(e => e.dateTime)"
    )
    assert starts == sorted(starts, reverse=True)


def test_pictures_are_shown(timeline):
    timeline.wait(
        lambda: timeline.script(
            "return [...document.querySelectorAll('.thumb img')].some(i => i.naturalWidth > 0)"
        )
    )


def test_an_event_has_a_page_with_picture_and_facts(timeline):
    timeline.pick(f"{ROW}:not(.open)")
    timeline.find(".facts-list", "red-seen")
    shot = timeline.find("img.shot")
    timeline.wait(lambda: timeline.script("return arguments[0].naturalWidth > 0", shot))
    drawn = shot.get_attribute("src")
    toggle = timeline.script("return document.querySelector('.media .switch input')")
    timeline.script("arguments[0].click()", toggle)
    timeline.wait(lambda: shot.get_attribute("src") != drawn)
    timeline.wait(lambda: timeline.script("return arguments[0].naturalWidth > 0", shot))
    assert timeline.script("return location.hash").startswith("#/events/")
    assert timeline.find("img.shot").get_attribute("alt")


@pytest.mark.stand_in
def test_clips_play(timeline):
    timeline.monitor.clip()
    timeline.pick(f"{ROW}:not(.open)")
    video = timeline.find("video")
    timeline.wait(lambda: timeline.script("return arguments[0].readyState >= 1", video))
    timeline.script("arguments[0].muted = true; return arguments[0].play()", video)
    timeline.wait(lambda: timeline.script("return arguments[0].currentTime > 0", video))


def test_an_event_is_kept(timeline):
    timeline.pick(f"{ROW}:not(.open)")
    timeline.click("Keep")
    timeline.click("Kept")
    timeline.click("Keep")
    timeline.click("Kept")
    timeline.button("Keep")


def test_an_event_is_removed_after_a_question(timeline):
    timeline.pick(f"{ROW}:not(.open)")
    id = timeline.wait(lambda: timeline.text(".facts-list code"))
    timeline.click("Remove")
    timeline.find("dialog", "Remove this event")
    timeline.click("Cancel")
    timeline.gone("dialog")
    timeline.click("Remove")
    timeline.pick("dialog .danger")
    timeline.find("h1", "Events")
    timeline.wait(lambda: id not in ids(timeline))


def test_a_link_to_an_event_works_by_itself(timeline):
    id = timeline.find(f"{ROW}:not(.open)").get_attribute("data-event")
    timeline.open(f"#/events/{id}")
    timeline.find(".facts-list code", id)


@pytest.mark.console("404")
def test_an_event_that_is_gone(page):
    page.open("#/events/1700000000.000-nowhere-nothing-1")
    page.find(".empty", "There is no such event")


@pytest.fixture
def many(page):
    monitor = page.monitor
    for at in range(70):
        camera = ("table", "bench")[at % 2]
        start = now() - timedelta(minutes=10 + at)
        severity = "alert" if at % 5 == 0 else "detection"
        monitor.event(
            camera=camera, rule=f"rule-{at % 3}", start=start, seconds=20, severity=severity
        )
    monitor.event(camera="shelf", rule="old", start=now() - timedelta(days=3), seconds=5)
    page.open("#/events")
    page.find(ROW)
    return page


@pytest.mark.stand_in
def test_paging(many):
    assert len(ids(many)) == 50
    many.find(".head", "the latest 50 events")
    many.click("Show older events")
    many.wait(lambda: len(ids(many)) == 71)
    assert len(set(ids(many))) == 71
    many.find(".head", "71 events")
    assert not [b for b in many.all("button") if b.text == "Show older events"]


@pytest.mark.stand_in
def test_search_by_each_field(many):
    events = many.monitor.events.values()

    def expect(condition):
        wanted = {event["id"] for event in events if condition(event)}
        assert wanted
        many.wait(lambda: set(ids(many)) == wanted)

    many.choose("Camera", "shelf")
    expect(lambda event: event["camera"] == "shelf")
    many.choose("Camera", "All cameras")
    many.choose("Severity", "Alert")
    expect(lambda event: event["severity"] == "alert")
    many.choose("Severity", "All")
    many.type(many.field("Words"), "Green sphere")
    expect(lambda event: "green sphere" in event["text"])
    assert "words=Green+sphere" in many.script("return location.hash")
    many.field("Words").send_keys(" nothing like it")
    many.find(".empty", "No event fits")
    many.click("Clear")
    many.wait(lambda: len(ids(many)) == 50)
    many.choose("State", "Open")
    many.find(".empty", "No event fits")
    many.click("Clear")
    set_to = (
        "const e = document.querySelector('#filter-to'); e.value = arguments[0];"
        "e.dispatchEvent(new Event('change'))"
    )
    many.script(set_to, (now() - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M"))
    expect(lambda event: event["rule"] == "old")


@pytest.mark.stand_in
def test_a_search_is_an_address(many):
    many.open("#/events?camera=shelf&words=yellow")
    many.wait(lambda: len(ids(many)) == 1)
    assert many.field("Words").get_attribute("value") == "yellow"


@pytest.mark.stand_in
def test_the_day_has_a_mark_for_each_event(many):
    today = [e for e in many.monitor.events.values() if e["rule"] != "old"]
    many.wait(lambda: many.script("return document.querySelectorAll('.mark').length") > 0)
    marks = many.script(
        "return [...document.querySelectorAll('.mark')].map(e => e.getAttribute('aria-label'))"
    )
    # Tests may run shortly after midnight.
    assert 0 < len(marks) <= len(today)
    many.script("document.querySelector('.mark[tabindex=\"0\"]').focus()")
    first = many.focused_name()
    many.press(Keys.ARROW_LEFT)
    assert many.focused_name() != first
    many.press(Keys.ENTER)
    many.find(".facts-list")


@pytest.mark.stand_in
def test_other_days(many):
    for _ in range(3):
        many.click("Day before")
    many.wait(lambda: many.script("return document.querySelectorAll('.mark').length") == 1)
    many.click("Today")
    many.wait(lambda: many.script("return document.querySelectorAll('.mark').length") != 1)


@pytest.mark.stand_in
def test_newer_and_older_events(many):
    second = ids(many)[1]
    many.open(f"#/events/{second}")
    older = many.find("a[aria-label='Older event']").get_attribute("href")
    newer = many.find("a[aria-label='Newer event']").get_attribute("href")
    order = [
        e["id"]
        for e in sorted(many.monitor.events.values(), key=lambda e: e["start"], reverse=True)
    ]
    assert (newer.split("/")[-1], older.split("/")[-1]) == (order[0], order[2])
    many.press("]")
    many.find(".facts-list code", order[2])


@pytest.mark.stand_in
def test_events_come_as_they_happen_and_are_read_out(timeline):
    event = timeline.monitor.event(camera="bench", rule="green-seen")
    timeline.monitor.step(event, "new")
    timeline.find(f'[data-event="{event["id"]}"] .badge.live')
    timeline.says(
        "#polite", "New alert on bench: green-seen, a large green sphere behind a small sphere"
    )
    assert timeline.script("return document.querySelector('#polite').ariaLive") == "polite"
    timeline.monitor.step(event, "end")
    timeline.gone(f'[data-event="{event["id"]}"] .badge.live')


@pytest.mark.stand_in
def test_an_open_event_ends_on_its_page_and_its_clip_comes(page):
    event = page.monitor.event()
    page.open(f"#/events/{event['id']}")
    page.find(".facts-list", "so far")
    page.find(".media", "The clip is not finished yet")
    page.monitor.step(event, "end")
    page.find(".facts-list", "the condition no longer held")
    page.monitor.clip()
    page.monitor.events[event["id"]]["has_clip"] = True
    page.monitor.tell("clip", {"event": event["id"]})
    page.find("video")


@pytest.mark.stand_in
def test_latest_events_stand_beside_the_cameras(page):
    page.open("#/")
    page.find(".side .empty", "Nothing happened yet")
    page.monitor.step(page.monitor.event(), "new")
    page.find(".side .event", "a red object")
    page.find('[data-camera="table"] .badge', "Alert")


@pytest.mark.stand_in
def test_absence_is_said(page):
    page.monitor.event(
        rule="no-cones", query="cones", start=now() - timedelta(minutes=2), seconds=9, zones=[]
    )
    page.open("#/events")
    page.pick(ROW, "Not seen: all cones")
    page.find(".facts-list", "Nothing was seen")
