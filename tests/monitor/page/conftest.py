"""Tests of the monitor's page in Chromium.

They run against a stand-in server with recorded pictures, or against the program itself:

    pytest tests/monitor/page
    pytest tests/monitor/page --monitor target/debug/mdetr-monitor   # or MDETR_MONITOR=...

Tests that need failures on demand are for the stand-in only.
"""

import os
import re
import sys
import tempfile
from pathlib import Path

import pytest
from browser import WIDE, Page, chromium
from program import Program
from stand_in import StandIn


def pytest_addoption(parser):
    words = "path of mdetr-monitor to test the page of, instead of a stand-in"
    parser.addoption("--monitor", default=os.environ.get("MDETR_MONITOR"), help=words)


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "stand_in: needs failures on demand, which the program does not give"
    )
    config.addinivalue_line(
        "markers", "console(*patterns): lines of the console that belong to the test"
    )


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
def driver():
    driver = chromium()
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def axe():
    """axe-core's script: AXE_JS, or what fetch_axe.py put into the virtual environment."""
    given = os.environ.get("AXE_JS")
    places = [Path(given)] if given else []
    places.append(Path(sys.prefix) / "axe.min.js")
    for place in places:
        if place.is_file():
            return place.read_text()
    pytest.fail(
        f"no axe.min.js in {', '.join(map(str, places))}: run tests/monitor/page/fetch_axe.py"
    )


@pytest.fixture
def page(driver, monitor, request):
    page = Page(driver, monitor)
    page.size(*WIDE)
    page.dark(False)
    yield page
    marker = request.node.get_closest_marker("console")
    allowed = marker.args if marker else ()
    lines = [
        line for line in page.console() if not any(re.search(pattern, line) for pattern in allowed)
    ]
    page.leave()
    assert lines == []
