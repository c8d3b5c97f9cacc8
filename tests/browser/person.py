"""What a person does with a browser: opens links, presses buttons, chooses a company, and looks at pages."""

from typing import Any

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

SECONDS = 30


def heading(browser: Chrome) -> str:
    """Return the heading of the page; there is exactly one."""
    (found,) = browser.find_elements(By.TAG_NAME, "h1")
    return str(found.text)


def wait_for(browser: Chrome, text: str) -> None:
    """Wait until the heading of the page has that text."""
    WebDriverWait(browser, SECONDS).until(lambda _: text in heading_or_nothing(browser))


def heading_or_nothing(browser: Chrome) -> str:
    """Return the heading, or nothing while there is no page."""
    found = browser.find_elements(By.TAG_NAME, "h1")
    try:
        return str(found[0].text) if found else ""
    except Exception:  # noqa: BLE001  the page was replaced in the meantime
        return ""


def press(browser: Chrome, text: str) -> None:
    """Press the button with that text."""
    browser.find_element(By.XPATH, f"//button[contains(., '{text}')]").click()


def decide(browser: Chrome, decision: str, *, company: str = "Acme") -> None:
    """Accept or deny as the user of a company, on Pipedrive's page."""
    wait_for(browser, "asks for access")
    chooser = Select(browser.find_element(By.ID, "user"))
    (option,) = (one.text for one in chooser.options if company in one.text)
    chooser.select_by_visible_text(option)
    browser.find_element(By.ID, decision).click()


def body(browser: Chrome) -> str:
    """Return the text of the page."""
    return str(browser.find_element(By.TAG_NAME, "main").text)


def complaints(browser: Chrome) -> list[str]:
    """Return what the browser has complained about, except a missing icon: violations of the policy, and errors."""
    entries: list[dict[str, Any]] = browser.get_log("browser")  # type: ignore[no-untyped-call]
    messages = [str(entry["message"]) for entry in entries if entry["level"] in {"SEVERE", "WARNING"}]
    return [message for message in messages if "/favicon.ico" not in message]
