"""A person connects an account in a real browser, over TLS, with Pipedrive and the company on origins of their own."""

from pathlib import Path

import pytest
from selenium.common.exceptions import InvalidArgumentException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from browser.conftest import Open
from browser.person import body, complaints, decide, heading, press, wait_for
from browser.site import CLIENT_ID, Site
from pipedrive_operator.core.values.consent_reasons import ConsentReason


def connect(browser: Chrome, link: str, *, company: str = "Acme") -> None:
    """Open a link and accept."""
    browser.get(link)
    press(browser, "Continue to Pipedrive")
    decide(browser, "accept", company=company)


@pytest.mark.parametrize("javascript", [True, False], ids=["", "JavaScript off"])
def test_accepting_connects_the_account(site: Site, open_browser: Open, *, javascript: bool) -> None:
    """It takes three steps, and neither code nor key stays in the address bar."""
    browser = open_browser(javascript=javascript)
    name = f"accept-{javascript}".lower()
    site.offer(name)

    connect(browser, site.link(name))
    wait_for(browser, "Connected")

    assert "acme.pipedrive.com" in body(browser)
    assert browser.current_url == f"{site.url}/consent/crm/{name}/result"
    (cookie,) = browser.get_cookies()
    assert (True, True, "Lax", "/") == (cookie["secure"], cookie["httpOnly"], cookie["sameSite"], cookie["path"])
    assert [] == complaints(browser)


def test_denying_changes_nothing_and_can_be_repaired(site: Site, browser: Chrome) -> None:
    """The page has a button for that."""
    site.offer("deny")
    browser.get(site.link("deny"))
    press(browser, "Continue to Pipedrive")
    decide(browser, "deny")
    wait_for(browser, "You declined")

    press(browser, "Try again")
    decide(browser, "accept")
    wait_for(browser, "Connected")


def test_the_wrong_company_is_explained_and_can_be_repaired(site: Site, browser: Chrome) -> None:
    """Both companies are named."""
    site.offer("wrong")
    connect(browser, site.link("wrong"), company="Other")
    wait_for(browser, "Another company or user is expected")
    shown = body(browser)

    press(browser, "Try again")
    decide(browser, "accept")
    wait_for(browser, "Connected")

    assert "other.pipedrive.com" in shown
    assert "acme.pipedrive.com" in shown


def test_two_tabs_at_once_do_not_disturb_each_other(site: Site, browser: Chrome) -> None:
    """They belong to two consents, which are begun one after the other and finished in the opposite order."""
    tabs = []
    for name in ("tab-1", "tab-2"):
        site.offer(name)
        browser.switch_to.new_window("tab")
        browser.get(site.link(name))
        press(browser, "Continue to Pipedrive")
        wait_for(browser, "asks for access")
        tabs.append((name, browser.current_window_handle))

    for name, tab in reversed(tabs):
        browser.switch_to.window(tab)
        decide(browser, "accept")
        wait_for(browser, "Connected")
        assert name in browser.current_url


def test_going_back_and_reloading_changes_nothing(site: Site, browser: Chrome) -> None:
    """The account stays connected, and nothing is exchanged twice."""
    site.offer("back")
    connect(browser, site.link("back"))
    wait_for(browser, "Connected")

    browser.refresh()
    wait_for(browser, "Connected")
    browser.get(site.link("back"))
    wait_for(browser, "Connected")
    browser.back()
    browser.back()
    browser.forward()

    assert 1 == len([grant for grant in site.consents.consents.values() if grant.key.name == "back"])
    browser.get(f"{site.url}/consent/crm/back/result")
    wait_for(browser, "Connected")


def test_an_expired_link_cannot_be_used(site: Site, browser: Chrome) -> None:
    """It looks like one that never existed."""
    site.offer("expired", ConsentReason.EXPIRED)
    browser.get(site.link("expired"))

    assert "This link cannot be used" == heading(browser)


def test_the_answer_in_another_browser_is_refused(site: Site, open_browser: Open) -> None:
    """Someone forwarded the address of Pipedrive's page."""
    site.offer("forwarded")
    first, second = open_browser(), open_browser()
    first.get(site.link("forwarded"))
    press(first, "Continue to Pipedrive")
    wait_for(first, "asks for access")

    second.get(first.current_url)
    decide(second, "accept")
    wait_for(second, "This answer does not belong here")


def test_an_installation_from_the_marketplace_gets_instructions(site: Site, browser: Chrome) -> None:
    """It brings a code and no state."""
    browser.get(f"{site.pipedrive_url}/marketplace/install?client_id={CLIENT_ID}")
    decide(browser, "accept")
    wait_for(browser, "One more step")

    assert "Nothing was connected" in body(browser)


def test_the_policy_of_the_form_lists_the_whole_chain_of_redirects(tmp_path: Path, open_browser: Open) -> None:
    """Without the company's domain the browser stops on the way, so the test above would fail."""
    with Site(tmp_path, redirects=()).running() as strict:
        strict.offer("blocked")
        browser = open_browser()
        browser.get(strict.link("blocked"))
        press(browser, "Continue to Pipedrive")

        assert "Connect Pipedrive to acme" == heading(browser)
        assert any("form-action" in complaint for complaint in complaints(browser))


def test_the_page_cannot_be_shown_in_a_frame(site: Site, browser: Chrome) -> None:
    """Otherwise another site could cover the button."""
    site.offer("framed")
    browser.get(f"{site.pipedrive_url}/oauth/authorize?client_id=unknown")
    browser.execute_script(
        "const frame = document.createElement('iframe'); frame.src = arguments[0]; document.body.append(frame);",
        site.link("framed"),
    )
    browser.switch_to.frame(browser.find_element(By.TAG_NAME, "iframe"))

    assert [] == browser.find_elements(By.TAG_NAME, "button")


def test_the_form_of_another_site_is_refused(site: Site, browser: Chrome) -> None:
    """It would skip the page that says what will happen."""
    site.offer("foreign")
    browser.get(f"{site.pipedrive_url}/oauth/authorize?client_id=unknown")
    browser.execute_script(
        "const form = document.createElement('form'); form.method = 'post'; form.action = arguments[0];"
        "document.body.append(form); form.submit();",
        site.link("foreign"),
    )
    wait_for(browser, "Open the link itself")


def test_a_sibling_domain_cannot_set_the_cookie_of_a_consent(site: Site, browser: Chrome) -> None:
    """The prefix `__Host-` binds the cookie to this very host, so no key of an attacker gets in beside ours."""
    site.offer("tossed")
    name = "__Host-consent.crm.tossed"

    assert _is_tossed(browser, "consent.crm.tossed")
    assert not _is_tossed(browser, name)
    connect(browser, site.link("tossed"))
    wait_for(browser, "Connected")

    assert [name] == [one["name"] for one in browser.get_cookies() if one["name"].startswith("__Host-")]


def _is_tossed(browser: Chrome, name: str) -> bool:
    """Return whether the browser takes a cookie for all siblings from one of them. Some versions call it an error."""
    cookie = {"name": name, "value": "A" * 43, "domain": ".operator.test", "path": "/", "secure": True}
    try:
        answer = browser.execute_cdp_cmd("Network.setCookie", {**cookie, "url": "https://evil.operator.test/"})
    except InvalidArgumentException:
        return False
    return bool(answer.get("success"))
