"""What cameras saw, asked by a new sentence on the page."""

import json
import re
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from browser import PHONE
from program import Program
from selenium.webdriver.common.keys import Keys

PAST = '[past]\nevery = "200ms"\nchange_threshold = 0\npictures = {pictures}\n'
NO_PICTURES = PAST.format(pictures="false") + "[store]\npictures = false\n"
PICTURES = PAST.format(pictures="true")
# So many that a search of every frame takes some time.
ENOUGH = 150
HITS = ".hits .hit"
STATUS = ".results [role=status]"
SECONDS = 60


@pytest.fixture(scope="module")
def programs(request, tmp_path_factory):
    """A monitor that keeps what it sees, by what else it is told: one at a time."""
    running = {}

    def end():
        for program in running.values():
            program.end()
        running.clear()

    def make(extra, enough):
        if extra not in running:
            end()
            path = Path(request.config.getoption("--monitor")).resolve()
            running[extra] = Program(path, tmp_path_factory.mktemp("past"), extra)
            keep(running[extra], enough)
        return running[extra]

    yield make
    end()


@pytest.fixture
def monitor(request):
    """The monitor without pictures, unless the test says otherwise, or the stand-in."""
    if not request.config.getoption("--monitor"):
        if "stand_in" not in request.keywords:
            pytest.skip("needs the program, which keeps what cameras saw")
        running = request.getfixturevalue("running")
        running.reset()
        running.document["past"] = {"pictures": False}
        return running
    extra, enough = getattr(request, "param", (NO_PICTURES, ENOUGH))
    return request.getfixturevalue("programs")(extra, enough)


@pytest.fixture
def search(page):
    page.open("#/search")
    page.find("#query")
    return page


def keep(monitor, frames):
    """Waits until so many are kept, then switches the cameras off: searches give way to them."""
    end = time.monotonic() + SECONDS
    while kept(monitor) < frames:
        monitor.rest_until(end, f"fewer than {frames} frames were kept")
    for camera in monitor.given:
        monitor.ask("PUT", f"/api/cameras/{camera}/enabled", {"enabled": False})


def kept(monitor):
    """Frames that were kept since the program began."""
    with urllib.request.urlopen(f"{monitor.url}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return sum(map(int, re.findall(r"^mdetr_past_frames_total\{.*\} (\d+)", text, re.MULTILINE)))


@pytest.fixture
def slow_search(search):
    """What is found takes seconds to come: to be cancelled, say."""
    line = {"offline": False, "latency": 0, "uploadThroughput": -1}
    limit = "Network.emulateNetworkConditions"
    search.driver.execute_cdp_cmd("Network.enable", {})
    search.driver.execute_cdp_cmd(limit, {**line, "downloadThroughput": 5_000})
    yield search
    search.driver.execute_cdp_cmd(limit, {**line, "downloadThroughput": -1})
    search.driver.execute_cdp_cmd("Network.disable", {})


def ask(page, text):
    page.type(page.field("Look for"), text)
    page.press(Keys.ENTER)


def ends(page, words):
    page.wait(lambda: words in page.text(STATUS), SECONDS)


def check(page, label):
    page.script("arguments[0].click()", page.script(LABELLED, label))


LABELLED = (
    "return [...document.querySelectorAll('input[type=checkbox]')]"
    ".find((e) => e.labels[0].textContent.trim().startsWith(arguments[0]))"
)
# What a search shows on its way: its state, and how many hits there are.
WATCH = """
window.seen = [];
const look = () => window.seen.push([
  document.querySelector('.results [role=status]').textContent,
  document.querySelectorAll('.hits .hit').length]);
new MutationObserver(look).observe(document.querySelector('.results'),
  {childList: true, subtree: true, characterData: true});
"""


def test_hits_stream_in_and_are_listed_best_first(slow_search):
    search = slow_search
    search.script(WATCH)
    check(search, "Every frame")
    ask(search, "all objects")
    ends(search, "Found")
    # Some were shown while it still ran.
    seen = search.script("return window.seen")
    assert any(state == "Searching…" and hits > 0 for state, hits in seen), seen
    texts = [hit.text for hit in search.all(HITS)]
    scores = [float(re.search(r"score ([\d.]+)", text).group(1)) for text in texts]
    assert scores == sorted(scores, reverse=True)
    assert any("all objects" in text for text in texts), texts
    assert any("· table" in text for text in texts), texts
    assert search.ink(".hits canvas") > 100
    # Nothing was kept that could be shown, and nothing is asked for.
    assert not search.all(".hits img")
    assert "frames asked" in search.text(".results")


def test_a_search_is_cancelled_and_what_it_found_stays(slow_search):
    search = slow_search
    check(search, "Every frame")
    ask(search, "all objects")
    search.wait(lambda: search.all(HITS), SECONDS)
    search.click("Cancel")
    ends(search, "Cancelled")
    assert search.all(HITS)
    assert search.focused_name() == "Search"
    # The place is free again.
    free_again(search.monitor, search)


def free_again(monitor, page):
    def free():
        try:
            monitor.ask("POST", "/api/search", {"query": "x", "to": "2000-01-01T00:00:00Z"})
        except urllib.error.HTTPError as error:
            assert error.code == 429
            return False
        return True

    page.wait(free, SECONDS)


def test_leaving_ends_a_search_and_coming_back_shows_it(slow_search):
    search = slow_search
    check(search, "Every frame")
    ask(search, "all objects")
    search.wait(lambda: search.all(HITS), SECONDS)
    search.press(Keys.ESCAPE)
    search.driver.find_element("css selector", "#nav [data-tab=system]").click()
    search.find("h1", "System")
    free_again(search.monitor, search)
    search.driver.back()
    search.find("h1", "Search")
    assert search.field("Look for").get_attribute("value") == "all objects"
    ends(search, "Cancelled")
    assert search.all(HITS)


def test_a_hit_leads_to_the_events_of_its_time(search):
    ask(search, "all objects")
    ends(search, "Found")
    search.pick(f"{HITS} a", "Events of this time")
    search.find("h1", "Events")
    assert search.field("From").get_attribute("value")
    assert search.field("Camera").get_attribute("value")


def test_a_question_is_a_curve_and_a_table(search):
    check(search, "table")
    ask(search, "how many objects are there?")
    ends(search, "Answered over time")
    search.find('.curve[data-camera="table"] svg')
    assert search.script("return document.querySelectorAll('.curve .held').length") > 0
    row = search.script("return document.querySelector('.curve tbody td:last-child').textContent")
    assert row.isdigit()
    assert search.script("return document.querySelectorAll('.curve').length") == 1


def test_moments_are_listed(search):
    check(search, "Moments")
    check(search, "Every frame")
    ask(search, "[a red object] left of a blue object")
    search.wait(lambda: re.search("Moments: |neither appeared", search.text(STATUS)), SECONDS)
    rows = search.all(".moment h2")
    told = re.search(r"Moments: (\d+)", search.text(STATUS))
    assert len(rows) == (int(told.group(1)) if told else 0)
    for row in rows:
        assert re.match("Appeared|Disappeared", row.text), row.text


def test_what_is_wrong_is_said_at_the_field(search):
    ask(search, "[a red object")
    search.find("#query-fault", "not closed")
    search.type(search.field("Look for"), "a red object")
    search.script(
        "const [a, b] = document.querySelectorAll('[type=datetime-local]');"
        "a.value = '2026-01-05T10:00'; b.value = '2026-01-05T09:00'"
    )
    search.press(Keys.ENTER)
    search.find(".fault", "after “From”")


@pytest.mark.console("400|422")
def test_a_sentence_that_is_refused_is_told_in_words(search):
    ask(search, " ".join(["red"] * 300))
    search.wait(lambda: "tokens" in search.text(".results .fault"), SECONDS)


def test_nothing_found_and_nothing_kept_are_told_apart(search):
    ask(search, "a purple ball behind a purple ball")
    search.wait(lambda: re.search("Nothing was found|Found", search.text(STATUS)), SECONDS)
    then = "from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z"
    search.open(f"#/search?query=a+cube&{then}&camera=table&camera=shelf")
    search.find("#query").send_keys(Keys.ENTER)
    ends(search, "Nothing was kept of this time and these cameras: table, shelf.")


@pytest.mark.console("400")
def test_a_camera_that_never_was_is_named_with_those_that_are(search):
    search.open("#/search?query=a+cube&camera=gone")
    search.find("#query").send_keys(Keys.ENTER)
    search.find(".results .fault", 'no camera "gone"')
    search.find(".results .fault", 'some of "bench", "shelf", "table"')


@pytest.mark.console("429")
def test_one_search_at_a_time(search):
    search.type(search.field("Look for"), "all objects")
    body = json.dumps({"query": "all objects", "exhaustive": True}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{search.monitor.url}/api/search", body, headers)
    with urllib.request.urlopen(request, timeout=SECONDS) as other:
        other.readline()
        search.press(Keys.ENTER)
        search.find(".results .fault", "Another search is running")
    free_again(search.monitor, search)


def test_the_keyboard_suffices(search):
    search.press("4")
    search.press("/")
    assert search.focused_name() == "Look for"
    search.press("a", " ", "c", "u", "b", "e", Keys.ENTER)
    search.wait(lambda: search.text(STATUS) not in ("", "Searching…"), SECONDS)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("text", ["all objects", "how many objects are there?"])
def test_axe_finds_nothing_and_a_phone_is_wide_enough(search, axe, text, dark):
    search.dark(dark)
    search.size(*PHONE, mobile=True)
    ask(search, text)
    search.wait(lambda: search.text(STATUS) not in ("", "Searching…"), SECONDS)
    assert search.complaints(axe) == []
    assert search.script("return document.scrollingElement.scrollWidth") == PHONE[0]


# Last: another program runs from here on.
@pytest.mark.parametrize("monitor", [(PICTURES, 6)], indirect=True, ids=["pictures"])
def test_boxes_are_drawn_on_the_picture_that_was_kept(search):
    ask(search, "all objects")
    ends(search, "Found")
    loaded = "return [...document.querySelectorAll('.hits img')].map((e) => e.naturalWidth > 0)"
    search.wait(lambda: any(search.script(loaded)))
    assert search.ink(".hits canvas") > 100
    search.find(".hits [role=img]")
    assert "Picture of" in search.script(
        "return document.querySelector('.hits [role=img]').ariaLabel"
    )


# Failures on demand

OUTCOME = {
    "mode": "best",
    "frames": 9,
    "asked": 9,
    "unreadable": 0,
    "first_unreadable": None,
    "cancelled": False,
    "hits": [],
    "curve": [],
    "moments": [],
}


@pytest.mark.stand_in
def test_a_stream_that_ends_too_early_is_said(search):
    search.monitor.found = [{"progress": {"asked": 3, "of": 9}}]
    ask(search, "a cube")
    search.find(".results .fault", "interrupted")
    search.monitor.found = [{"error": "not one of 9 frames can be asked"}]
    ask(search, "a cube")
    search.find(".results .fault", "not one of 9 frames")


@pytest.mark.stand_in
def test_a_model_without_answers_is_said(search):
    search.monitor.found = [{"outcome": OUTCOME}]
    ask(search, "how many cones are there?")
    search.find(".results .hint", "cannot answer questions")
    ends(search, "Nothing was found")


@pytest.mark.stand_in
def test_moments_say_what_is_known_of_them(search):
    shown = {
        "camera": "table",
        "time": "2026-01-05T10:00:00Z",
        "until": "2026-01-05T10:00:00Z",
        "size": [640, 480],
        "score": 0.9,
        "has_picture": False,
        "detections": [{"box": [10, 20, 100, 120], "score": 0.9, "phrases": []}],
    }
    moments = [
        {"camera": "table", "appears": appears, "time": time, "after": after, "shown": hit}
        for appears, time, after, hit in [
            (False, "2026-01-05T11:00:02Z", "2026-01-05T11:00:00Z", None),
            (True, "2026-01-05T10:00:00Z", "2026-01-05T09:59:00Z", shown),
        ]
    ]
    search.monitor.found = [{"outcome": {**OUTCOME, "mode": "moments", "moments": moments}}]
    ask(search, "a cube")
    ends(search, "Moments: 2")
    first, last = (row.text for row in search.all(".moment .about"))
    assert re.search("Appeared · .*10:00:00.* · table\nnot there until .*9:59:00", first), first
    assert re.search("Disappeared · .*11:00:02.* · table\nthere until .*11:00:00", last), last
    assert len(search.all(".moment .screen")) == 1
    search.find(".moment .note", "no picture kept")


@pytest.mark.stand_in
def test_answers_over_time_are_drawn_and_listed(search):
    points = [
        {
            "camera": "table",
            "time": f"2026-01-05T10:00:{second}Z",
            "until": f"2026-01-05T10:00:{second}Z",
            "answer": text and {"text": text, "score": 0.9},
        }
        for second, text in [(10, "red"), (20, "red"), (30, "blue"), (40, None), (50, "green")]
    ]
    answers = [{"answer": point} for point in points]
    search.monitor.found = [*answers, {"outcome": {**OUTCOME, "mode": "curve", "curve": points}}]
    ask(search, "what color is the cube?")
    ends(search, "Answered over time")
    rows = search.script(
        "return [...document.querySelectorAll('tbody tr')].map((e) => e.lastChild.textContent)"
    )
    assert rows == ["red", "blue", "no answer", "green"]
    # Each name is beside its line.
    places = search.script(
        "const top = document.querySelector('.plot svg').getBoundingClientRect().top;"
        "const names = [...document.querySelectorAll('.levels li')].map((e) => {"
        "  const {y, height} = e.getBoundingClientRect(); return y + height / 2 - top; });"
        "const d = document.querySelector('.held').getAttribute('d');"
        "return [names, [...d.matchAll(/M[\\d.]+ ([\\d.]+)/g)].map(([, y]) => Number(y))];"
    )
    (blue, green, red), lines = places
    for line, name in zip(lines, (red, blue, green), strict=True):
        assert abs(line - name) < 2, places


@pytest.mark.stand_in
@pytest.mark.console("401")
def test_who_may_look_only_may_search(search):
    search.monitor.tokens = {"right": "viewer"}
    search.monitor.found = [{"outcome": OUTCOME}]
    search.open("#/search")
    search.find("#token").send_keys("right", Keys.ENTER)
    search.find('[data-banner="viewer"]')
    ask(search, "a cube")
    ends(search, "Nothing was found.")


@pytest.mark.stand_in
def test_the_tab_is_there_only_where_something_is_kept(search):
    tab = "#nav [data-tab=search]"
    search.find(tab)
    search.monitor.change(lambda document: document.pop("past"))
    search.gone(tab)
    search.find(".empty", "keeps nothing")
    assert not search.all("#query")
    search.monitor.change(lambda document: document.update(past={}))
    search.find(tab)
    search.monitor.hub = True
    search.open("#/search")
    search.find(".empty", "keeps nothing")
    assert not search.all(tab)
