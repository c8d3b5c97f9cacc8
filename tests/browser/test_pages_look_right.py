"""Every page, on a desk and on a phone, light and dark: nothing overflows, and a picture is kept to be looked at."""

from collections.abc import Callable

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from browser.conftest import SCREENSHOTS
from browser.person import complaints, decide, press, wait_for
from browser.site import CLIENT_ID, Site
from pipedrive_operator.core.resource.status import Account
from pipedrive_operator.core.values.consent_reasons import OPEN_AGAIN, ConsentReason

ADA = Account(company_id=1, company_domain="acme", user_id=11)
GRACE = Account(company_id=2, company_domain="other", user_id=12)
UNCERTAIN = (
    "The authorization code was sent, and the response was lost: no response in time. A code works once, so it is not "
    f"sent again: {OPEN_AGAIN}"
)


def begin(site: Site, browser: Chrome, name: str) -> None:
    """Open a link and go to Pipedrive, so that the browser has the cookie."""
    site.offer(name)
    browser.get(site.link(name))
    press(browser, "Continue to Pipedrive")
    wait_for(browser, "asks for access")


def result(reason: ConsentReason, account: Account | None = None, message: str = "") -> Callable[[Site, Chrome], None]:
    """Return how to get to the result page after the operator has reported something."""

    def visit(site: Site, browser: Chrome) -> None:
        begin(site, browser, "look")
        site.report("look", reason, account=account, message=message)
        browser.get(f"{site.url}/consent/crm/look/result")

    return visit


def start(site: Site, browser: Chrome) -> None:
    """Open a link."""
    site.offer("look")
    browser.get(site.link("look"))


def denied(site: Site, browser: Chrome) -> None:
    """Deny."""
    begin(site, browser, "look")
    decide(browser, "deny")


def uninvited(site: Site, browser: Chrome) -> None:
    """Install from the marketplace."""
    browser.get(f"{site.pipedrive_url}/marketplace/install?client_id={CLIENT_ID}")
    decide(browser, "accept")


def mismatched(site: Site, browser: Chrome) -> None:
    """Come back without having begun."""
    begin(site, browser, "look")
    browser.get(f"{site.url}/")
    browser.delete_all_cookies()
    browser.back()
    decide(browser, "accept")


PAGES: dict[str, tuple[Callable[[Site, Chrome], None], str]] = {
    "landing": (lambda site, browser: browser.get(f"{site.url}/"), "Connect a Pipedrive account"),
    "start": (start, "Connect Pipedrive to acme"),
    "waiting": (result(ConsentReason.VERIFYING), "Please wait"),
    "connected": (result(ConsentReason.CONNECTED, ADA), "Connected"),
    "declined": (denied, "You declined"),
    "wrong-company": (result(ConsentReason.WRONG_ACCOUNT, GRACE), "Another company or user is expected"),
    "uncertain": (result(ConsentReason.UNCERTAIN, None, UNCERTAIN), "Not sure whether you are connected"),
    "ended": (result(ConsentReason.EXPIRED), "This link has ended"),
    "unusable": (lambda site, browser: browser.get(f"{site.link('unknown')}"), "This link cannot be used"),
    "uninvited": (uninvited, "One more step"),
    "mismatch": (mismatched, "This answer does not belong here"),
}
VIEWPORTS = {"desk": (1000, 1000, False), "phone": (360, 740, True)}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("viewport", VIEWPORTS)
def test_every_page_fits_and_is_kept_as_a_picture(site: Site, browser: Chrome, viewport: str, theme: str) -> None:
    """It has one heading and a language, and the browser reports no problem."""
    width, height, mobile = VIEWPORTS[viewport]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    scheme = [{"name": "prefers-color-scheme", "value": theme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    SCREENSHOTS.mkdir(exist_ok=True)

    for name, (visit, heading) in PAGES.items():
        visit(site, browser)
        wait_for(browser, heading)
        browser.save_screenshot(str(SCREENSHOTS / f"{name}-{viewport}-{theme}.png"))
        html = browser.find_element(By.TAG_NAME, "html")
        assert "en" == html.get_attribute("lang")
        assert int(html.get_attribute("scrollWidth") or 0) <= width, name
        assert not [one for one in complaints(browser) if "404" not in one and "400" not in one], name
        browser.delete_all_cookies()
