"""Tests of the monitor's page in Chromium.

They run against a stand-in server with recorded pictures, or against the program itself:

    pytest tests/monitor/page
    pytest tests/monitor/page --monitor target/debug/mdetr-monitor   # or MDETR_MONITOR=...

Tests that need failures on demand are for the stand-in only.
"""

import os
import re
import shutil
import tempfile
import time
from pathlib import Path

import pytest
from program import Program
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from stand_in import StandIn

WAIT_S = 20
POLL_S = 0.1
WIDE = (1280, 800)

# Elements that are seen, have the words and the name.
LOOK = """
const [css, words, name] = arguments;
const nameOf = (e) =>
  (e.getAttribute("aria-label") ?? ((e.labels?.[0] ?? e).innerText || e.textContent)).trim();
return [...document.querySelectorAll(css)].filter(
  (e) =>
    e.checkVisibility() &&
    (words === null || (e.innerText ?? e.textContent).includes(words)) &&
    (name === null || nameOf(e) === name),
);
"""


def pytest_addoption(parser):
    words = "path of mdetr-monitor to test the page of, instead of a stand-in"
    parser.addoption("--monitor", default=os.environ.get("MDETR_MONITOR"), help=words)


def pytest_configure(config):
    config.addinivalue_line("markers", "stand_in: needs failures on demand, which the program does not give")
    config.addinivalue_line("markers", "console(*patterns): lines of the console that belong to the test")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--monitor"):
        skip = pytest.mark.skip(reason="needs the stand-in")
        for item in items:
            if "stand_in" in item.keywords:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def running(request, tmp_path_factory):
    program = request.config.getoption("--monitor")
    if program:
        monitor = Program(Path(program).resolve(), tmp_path_factory.mktemp("monitor"))
    else:
        monitor = StandIn(Path(tempfile.gettempdir()) / "mdetr-monitor-page")
    yield monitor
    monitor.end()


@pytest.fixture
def monitor(running):
    running.reset()
    return running


@pytest.fixture(scope="session")
def chromium():
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "/usr/bin/chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio", "--force-color-profile=srgb"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def page(chromium, monitor, request):
    page = Page(chromium, monitor)
    page.size(*WIDE)
    page.dark(False)
    yield page
    marker = request.node.get_closest_marker("console")
    allowed = marker.args if marker else ()
    lines = [line for line in page.console() if not any(re.search(pattern, line) for pattern in allowed)]
    page.leave()
    assert lines == []


class Page:
    """The page as somebody uses it."""

    def __init__(self, driver, monitor):
        self.driver = driver
        self.monitor = monitor

    def open(self, place):
        """Loads the page anew at a place such as `#/events`."""
        self.leave()
        self.console()
        self.driver.get(f"{self.monitor.url}/{place}")
        self.wait(lambda: self.script("return document.querySelector('#main').childElementCount > 0"))

    def leave(self):
        self.driver.get("about:blank")
        try:
            self.driver.switch_to.alert.accept()
        except WebDriverException:
            pass

    def size(self, width, height, mobile=False):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 2 if mobile else 1, "mobile": mobile}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def dark(self, on):
        features = [{"name": "prefers-color-scheme", "value": "dark" if on else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def console(self):
        return [f"{entry['level']}: {entry['message']}" for entry in self.driver.get_log("browser")]

    def script(self, text, *arguments):
        return self.driver.execute_script(text, *arguments)

    def wait(self, condition, seconds=WAIT_S):
        """Waits until the condition gives something that is true, and gives it back."""
        end = time.monotonic() + seconds
        while True:
            try:
                found = condition()
            except StaleElementReferenceException:
                found = None
            if found:
                return found
            if time.monotonic() > end:
                raise AssertionError(f"not within {seconds} s; the page says:\n{self.text('body')[:3000]}")
            time.sleep(POLL_S)

    def all(self, css, words=None, name=None):
        return self.script(LOOK, css, words, name)

    def find(self, css, words=None, name=None):
        """The first element that is seen, has the words, and is there within some seconds."""
        return self.wait(lambda: self.all(css, words, name))[0]

    def button(self, name):
        """A button or link by its name."""
        return self.find("button, a, summary, [role=tab], [role=button]", name=name)

    def field(self, label):
        """A field by its label."""
        return self.find("input, select", name=label)

    def gone(self, css):
        return self.wait(lambda: not self.all(css))

    def text(self, css):
        return self.script("return document.querySelector(arguments[0])?.innerText ?? ''", css)

    def says(self, css, words):
        return self.wait(lambda: words in self.text(css))

    def click(self, name):
        self.button(name).click()

    def type(self, element, text):
        element.send_keys(Keys.CONTROL, "a")
        element.send_keys(Keys.DELETE)
        element.send_keys(text)

    def choose(self, label, words):
        select = self.field(label)
        option = next(o for o in select.find_elements(By.TAG_NAME, "option") if o.text == words)
        option.click()

    def press(self, *keys):
        """Keys on what has the focus."""
        actions = ActionChains(self.driver)
        for key in keys:
            actions.send_keys(key)
        actions.perform()

    def chord(self, *keys):
        actions = ActionChains(self.driver)
        for key in keys[:-1]:
            actions.key_down(key)
        actions.send_keys(keys[-1])
        for key in keys[:-1]:
            actions.key_up(key)
        actions.perform()

    def at(self, css, x, y):
        """The place (in pixels of the window) at parts x and y of an element."""
        script = "const r = document.querySelector(arguments[0]).getBoundingClientRect();" \
            "return [r.left + r.width * arguments[1], r.top + r.height * arguments[2]]"
        return self.script(script, css, x, y)

    def mouse(self, *steps):
        """Steps of a mouse: ("move", x, y), ("down",), ("up",)."""
        actions = ActionChains(self.driver, duration=20)
        for step, *place in steps:
            if step == "move":
                actions.w3c_actions.pointer_action.move_to_location(*map(round, place))
            elif step == "down":
                actions.w3c_actions.pointer_action.pointer_down()
            else:
                actions.w3c_actions.pointer_action.pointer_up()
        actions.perform()

    def focused(self):
        return self.driver.switch_to.active_element

    def focused_name(self):
        return self.script("const e = document.activeElement; return e.getAttribute('aria-label') ?? (e.labels?.[0] ?? e).innerText")

    def frames(self, camera=None):
        """The number of the frame that is shown."""
        css = f'[data-camera="{camera}"] .screen' if camera else ".screen"
        number = self.script("return document.querySelector(arguments[0])?.dataset.frame", css)
        return int(number) if number else None

    def is_live(self, camera=None):
        first = self.wait(lambda: self.frames(camera) is not None) and self.frames(camera)
        return self.wait(lambda: self.frames(camera) != first)

    def ink(self, css=".screen .overlay"):
        """How many pixels of a canvas are drawn on."""
        return self.script(
            "const c = document.querySelector(arguments[0]);"
            "const k = Object.assign(document.createElement('canvas'), {width: c.width, height: c.height});"
            "const pen = k.getContext('2d', {willReadFrequently: true}); pen.drawImage(c, 0, 0);"
            "const d = pen.getImageData(0, 0, c.width, c.height).data;"
            "let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n",
            css,
        )
