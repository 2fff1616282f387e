"""The page in Chromium, as somebody uses it."""

import shutil
import time

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

WAIT_S = 20
POLL_S = 0.1
WIDE = (1280, 800)
PHONE = (360, 740)

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

AXE = """
const done = arguments[0];
axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}).then(
  ({violations}) => done(violations.map(({id, help, nodes}) => {
    const found = nodes.map((node) => `${node.html.slice(0, 300)}: ${node.failureSummary}`);
    return {id, help, found};
  })),
  (error) => done(String(error)),
);
"""


def chromium():
    """A browser that keeps what its console says."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "/usr/bin/chromium"
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--mute-audio",
        "--force-color-profile=srgb",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


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
        self.wait(
            lambda: self.script("return document.querySelector('#main').childElementCount > 0")
        )

    def leave(self):
        self.driver.get("about:blank")
        try:
            self.driver.switch_to.alert.accept()
        except WebDriverException:
            pass

    def size(self, width, height, mobile=False):
        metrics = {
            "width": width,
            "height": height,
            "deviceScaleFactor": 2 if mobile else 1,
            "mobile": mobile,
        }
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def dark(self, on):
        features = [{"name": "prefers-color-scheme", "value": "dark" if on else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def console(self):
        """Warnings and errors since the last time."""
        entries = self.driver.get_log("browser")
        return [
            f"{one['level']}: {one['message']}"
            for one in entries
            if one["level"] in ("WARNING", "SEVERE")
        ]

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
                raise AssertionError(
                    f"not within {seconds} s; the page says:\n{self.text('body')[:3000]}"
                )
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
        self._click(lambda: self.button(name))

    def pick(self, css, words=None):
        """Clicks the first element that is seen and has the words."""
        self._click(lambda: self.find(css, words))

    def _click(self, find):
        def clicked():
            find().click()
            return True

        # What is drawn anew meanwhile is looked for again.
        self.wait(clicked)

    def type(self, element, text):
        # Now and then keys come before the browser has given the field the focus.
        for _ in range(20):
            element.send_keys(Keys.CONTROL, "a")
            element.send_keys(Keys.DELETE)
            if not element.get_attribute("value"):
                break
            time.sleep(0.05)
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
        script = (
            "const r = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return [r.left + r.width * arguments[1], r.top + r.height * arguments[2]]"
        )
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
        return self.script(
            "const e = document.activeElement;"
            "return e.getAttribute('aria-label') ?? (e.labels?.[0] ?? e).textContent.trim()"
        )

    def frames(self, camera=None):
        """The number of the frame that is shown."""
        css = f'[data-camera="{camera}"] .screen' if camera else ".screen"
        number = self.script("return document.querySelector(arguments[0])?.dataset.frame", css)
        return int(number) if number else None

    def is_live(self, camera=None):
        first = self.wait(lambda: self.frames(camera) is not None) and self.frames(camera)
        return self.wait(lambda: self.frames(camera) != first)

    def complaints(self, axe):
        """What axe-core, given as its script, has to say."""
        # The policy of the page refuses foreign scripts: the driver's are not bound by it.
        self.script(axe)
        return self.driver.execute_async_script(AXE)

    def ink(self, css=".screen .overlay"):
        """How many pixels of a canvas are drawn on."""
        return self.script(
            "const c = document.querySelector(arguments[0]);"
            "const {width, height} = c;"
            "const k = Object.assign(document.createElement('canvas'), {width, height});"
            "const pen = k.getContext('2d', {willReadFrequently: true}); pen.drawImage(c, 0, 0);"
            "const d = pen.getImageData(0, 0, c.width, c.height).data;"
            "let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n",
            css,
        )
