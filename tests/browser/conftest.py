"""A headless Chromium, and the site that it visits. Screenshots are kept in the folder `.browser` of the repository."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from browser.site import Site

SCREENSHOTS = Path(__file__).parents[2] / ".browser"
_INSTALL = "install a browser for these tests: the Debian packages chromium and chromium-driver"

Open = Callable[..., Chrome]


def _program(*names: str) -> str:
    found = next(filter(None, map(shutil.which, names)), None)
    assert found is not None, _INSTALL
    return found


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Serve the front and the simulator."""
    with Site(tmp_path_factory.mktemp("site")).running() as running:
        yield running


@pytest.fixture
def open_browser() -> Iterator[Open]:
    """Return a function that starts a browser with an empty profile, which ends with the test."""
    started: list[Chrome] = []

    def start(*, javascript: bool = True) -> Chrome:
        options = ChromeOptions()
        options.binary_location = _program("chromium", "chromium-browser", "google-chrome")
        options.accept_insecure_certs = True
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        for argument in (
            "--headless=new",
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--disable-gpu",
            "--window-size=1000,1100",
            "--host-resolver-rules=MAP *.test 127.0.0.1, EXCLUDE localhost",
            "--no-proxy-server",
        ):
            options.add_argument(argument)
        if not javascript:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        browser = Chrome(options=options, service=Service(_program("chromedriver")))
        started.append(browser)
        return browser

    yield start
    for browser in started:
        browser.quit()


@pytest.fixture
def browser(open_browser: Open) -> Chrome:
    """Start a browser."""
    return open_browser()
