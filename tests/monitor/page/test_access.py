"""For everybody: contrast, labels, keyboard, phones, dark rooms, little motion."""

import pytest
from browser import PHONE
from selenium.webdriver.common.keys import Keys

VIEWS = {
    "cameras": "#/",
    "camera": "#/cameras/table",
    "rules": "#/cameras/table",
    "zones": "#/cameras/table",
    "events": "#/events",
    "event": "#/events",
    "system": "#/system",
    "login": "#/",
}
LOGIN_TOO = [
    pytest.param(view, marks=pytest.mark.stand_in) if view == "login" else view for view in VIEWS
]


def show(page, view):
    """Opens a view with all that is in it."""
    if view in ("cameras", "events", "event"):
        page.monitor.have_events()
    page.open(VIEWS[view])
    if view == "cameras":
        page.is_live("table")
        page.find(".side .event")
    elif view == "camera":
        page.find(".chip")
        page.click("Edit “all cones”")
        page.click("How to write a sentence")
    elif view == "rules":
        page.click("Rules")
        page.click("Edit rule red-seen")
        page.click("Add times")
    elif view == "zones":
        page.is_live()
        page.click("Zones and lines")
        page.click("Zone left")
        page.find(".handles .corner")
    elif view == "events":
        page.find(".event")
        page.wait(lambda: page.script("return document.querySelectorAll('.mark').length > 0"))
    elif view == "event":
        page.pick(".event:not(.open)")
        page.find(".facts-list")
        page.find("img.shot")
    elif view == "system":
        page.find("tbody tr")
    elif view == "login":
        page.find("#token")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("view", LOGIN_TOO)
@pytest.mark.console("401")
def test_axe_finds_nothing(page, axe, view, dark):
    if view == "login":
        page.monitor.tokens = {"right": "admin"}
    page.dark(dark)
    show(page, view)
    assert page.complaints(axe) == []


@pytest.mark.stand_in
def test_axe_finds_nothing_in_banners(page, axe):
    page.open("#/system")
    page.find("tbody tr")
    page.monitor.set_store(writable=False, message="the disk is full")
    page.monitor.set_broker(connected=False, message="refused", waiting=3)
    page.find('[data-banner="broker"]')
    assert page.complaints(axe) == []


@pytest.mark.console("401")
def test_axe_finds_nothing_in_dialogs(page, axe):
    page.open("#/system")
    page.find("tbody tr")
    assert page.complaints(axe) == []
    page.press("?")
    page.find("dialog", "Keys")
    assert page.complaints(axe) == []
    page.click("Close")
    page.click("Add camera")
    page.find("dialog", "Add a camera")
    assert page.complaints(axe) == []


@pytest.mark.parametrize("view", [view for view in VIEWS if view != "login"])
def test_a_phone_needs_no_scrolling_sideways(page, view):
    page.size(*PHONE, mobile=True)
    show(page, view)
    width = page.script("return document.scrollingElement.scrollWidth")
    wide = page.script(
        "return [...document.querySelectorAll('main *')]"
        ".filter((e) => e.checkVisibility() && !e.closest('.scroll, svg'))"
        ".filter((e) => e.getBoundingClientRect().right > arguments[0] + 1)"
        ".map((e) => e.outerHTML.slice(0, 150))",
        PHONE[0],
    )
    assert (width, wide) == (PHONE[0], [])


def test_appearance_follows_the_system_or_the_switch(page):
    def back():
        return page.script("return getComputedStyle(document.documentElement).backgroundColor")

    page.dark(False)
    page.open("#/system")
    light = back()
    page.dark(True)
    page.wait(lambda: back() != light)
    dark = back()
    page.click("Appearance: as the system")
    assert back() == light
    page.button("Appearance: light")
    page.open("#/system")
    assert back() == light
    page.press("t")
    assert back() == dark
    page.click("Appearance: dark")
    page.button("Appearance: as the system")


def test_keys(page):
    page.open("#/")
    page.press("2")
    page.find("h1", "Events")
    page.press("/")
    assert page.focused_name() == "Words"
    page.press(Keys.ESCAPE, "3")
    page.find("h1", "System")
    page.press("1")
    page.find(".grid")
    page.press("?")
    page.find("dialog", "Keys")
    page.press(Keys.ESCAPE)
    page.gone("dialog")
    page.open("#/cameras/table")
    page.find(".sentence")
    page.press("/")
    assert page.focused_name() == "Watch for"
    page.press("2")
    assert page.find("#prompt").get_attribute("value") == "2"


def test_single_keys_can_be_switched_off(page):
    page.open("#/system")
    page.press("?")
    page.find("dialog", "Single keys work")
    page.script("document.querySelector('dialog input').click()")
    page.press(Keys.ESCAPE)
    page.gone("dialog")
    page.press("2")
    page.find("h1", "System")
    page.click("Help and keys")
    page.script("document.querySelector('dialog input').click()")
    page.press(Keys.ESCAPE)
    page.gone("dialog")
    page.press("2")
    page.find("h1", "Events")


def test_everything_is_reached_with_tab(page):
    page.open("#/cameras/table")
    page.find(".chip")
    page.script("document.querySelector('.skip').focus()")
    names = []
    for _ in range(60):
        names.append(page.focused_name().strip())
        page.press(Keys.TAB)
    for name in (
        "Skip to content",
        "Cameras",
        "Help and keys",
        "All cameras",
        "Watching",
        "Full screen",
        "Watch for",
        "Watch",
        "Make a rule of “all cones”",
        "Edit “all cones”",
        "Remove “all cones”",
        "Events",
    ):
        assert name in names, names
    assert any(name.startswith("a red object 0.") for name in names), names


def test_skip_to_content(page):
    page.open("#/system")
    page.find("tbody")
    page.script("document.querySelector('.skip').focus()")
    page.press(Keys.ENTER)
    assert page.focused().get_attribute("id") == "main"
    page.find("h1", "System")


def test_tabs_work_with_arrows(page):
    page.open("#/cameras/table")
    page.click("Rules")
    page.press(Keys.ARROW_RIGHT)
    assert page.focused_name() == "Zones and lines"
    page.find(".shapes")
    page.press(Keys.ARROW_RIGHT)
    assert page.focused_name() == "Events"


def test_nothing_moves_for_those_who_want_that(page):
    features = [{"name": "prefers-reduced-motion", "value": "reduce"}]
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    page.open("#/system")
    page.find("tbody")
    moving = page.script(
        "return [...document.querySelectorAll('*')].map((e) => getComputedStyle(e))"
        ".filter((s) => s.transitionProperty !== 'none' && s.transitionDuration !== '0s').length"
    )
    assert moving == 0


def test_nothing_comes_from_other_hosts_and_nothing_is_refused(page):
    page.open("#/cameras/table")
    page.script("addEventListener('securitypolicyviolation', () => { window.refused = true; })")
    page.is_live()
    page.click("Rules")
    page.click("Zones and lines")
    names = page.script("return performance.getEntriesByType('resource').map(({name}) => name)")
    assert names
    assert all(name.startswith((page.monitor.url, "blob:")) for name in names), names
    assert not page.script("return window.refused")


def test_no_words_are_left_over(page):
    """Each string is used; keys that are put together count by how they begin."""
    page.open("#/")
    unused = page.driver.execute_async_script(
        """const done = arguments[0];
        (async () => {
          const {STRINGS} = await import('/assets/strings.js');
          const names = performance.getEntriesByType('resource').map(({name}) => name);
          const others = names.filter((name) => /(?<!strings)\\.js$/.test(name));
          const texts = await Promise.all(others.map(async (name) => (await fetch(name)).text()));
          const all = texts.join();
          const made = [...all.matchAll(/t\\(`([\\w.]+)\\$\\{/g)].map(([, stem]) => stem);
          return Object.keys(STRINGS).filter(
            (key) => !all.includes(`"${key}"`) && !made.some((stem) => key.startsWith(stem)),
          );
        })().then(done, (error) => done(String(error)));"""
    )
    assert unused == []
