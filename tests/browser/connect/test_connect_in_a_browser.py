"""`kubectl pipedrive connect` from the first key press to the published Secret, in all three modes."""

from collections.abc import Callable

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.support.ui import WebDriverWait

from browser.conftest import SCREENSHOTS
from browser.connect.conftest import ELSEWHERE, NAMESPACE, Place
from browser.connect.keyboard import Keyboard
from browser.person import SECONDS, body, complaints, decide, heading, press, wait_for

Connect = Callable[..., Keyboard]
CONNECTED = "✓ Connected to acme.pipedrive.com (company 12) as user 34."


def keep(browser: Chrome, name: str) -> None:
    """Keep a picture of the page."""
    SCREENSHOTS.mkdir(exist_ok=True)
    browser.save_screenshot(str(SCREENSHOTS / f"connect-{name}.png"))


def test_hosted_the_front_receives_the_answer(place: Place, connect: Connect, browser: Chrome) -> None:
    """The command opens the browser, and ends when the Secret holds the token of the person's company."""
    with connect("hosted", app="hosted") as keyboard:
        browser.get(keyboard.opened())
        wait_for(browser, "Connect Pipedrive to hosted")
        keep(browser, "hosted-1-before")
        assert browser.current_url.startswith(f"{place.front_url}/consent/{NAMESPACE}/hosted-")
        press(browser, "Continue to Pipedrive")
        wait_for(browser, "asks for access")
        keep(browser, "hosted-2-pipedrive")
        decide(browser, "accept")
        wait_for(browser, "Connected")
        keep(browser, "hosted-3-connected")

        assert 0 == keyboard.exit_code(), keyboard.screen

    assert f"{CONNECTED} Secret {NAMESPACE}/hosted is published." in keyboard.screen
    assert "acme.pipedrive.com" in body(browser)
    assert [] == complaints(browser)
    assert place.stored("hosted") is not None
    assert place.published("hosted")


def test_hosted_the_wrong_company_is_explained_on_both_sides(connect: Connect, browser: Chrome) -> None:
    """The link goes on, and the person can choose again."""
    with connect("wrong", app="hosted") as keyboard:
        browser.get(keyboard.opened())
        press(browser, "Continue to Pipedrive")
        decide(browser, "accept", company="Other")
        wait_for(browser, "Another company or user is expected")
        keyboard.wait_for("✗ WrongAccount: ")
        keep(browser, "hosted-4-wrong-company")

        press(browser, "Try again")
        decide(browser, "accept")
        assert 0 == keyboard.exit_code(), keyboard.screen

    assert "Pipedrive connected company other (id 56, user 78)" in keyboard.screen
    assert 1 == keyboard.screen.lower().count("switch the company in pipedrive")
    assert CONNECTED in keyboard.screen


def test_loopback_the_command_receives_the_answer(place: Place, connect: Connect, browser: Chrome) -> None:
    """The code does not stay in the address bar."""
    with connect("loopback", app="loopback") as keyboard:
        browser.get(keyboard.opened())
        decide(browser, "accept")
        wait_for(browser, "Received")
        keep(browser, "loopback-received")
        assert "?" not in browser.current_url
        assert [] == complaints(browser)

        assert 0 == keyboard.exit_code(), keyboard.screen

    assert f"{CONNECTED} Secret {NAMESPACE}/loopback is published." in keyboard.screen
    assert place.published("loopback")


def test_loopback_a_refusal_is_shown_and_can_be_repaired(connect: Connect, browser: Chrome) -> None:
    """The link of the terminal can be opened again."""
    with connect("declined", app="loopback") as keyboard:
        browser.get(keyboard.opened())
        wait_for(browser, "asks for access")
        page = browser.current_url
        decide(browser, "deny")
        keyboard.wait_for("it was declined")
        keep(browser, "loopback-declined")

        browser.get(page)
        decide(browser, "accept")
        assert 0 == keyboard.exit_code(), keyboard.screen


def test_paste_the_person_copies_the_address(place: Place, connect: Connect, browser: Chrome) -> None:
    """The app's redirect arrives at a machine that does not exist, and the terminal does not show what is pasted."""
    with connect("paste", app="paste") as keyboard:
        browser.get(keyboard.opened())
        decide(browser, "accept")
        keyboard.wait_for("Copy the whole address")
        address = arrived(browser, ELSEWHERE)
        keep(browser, "paste-error-page")
        keyboard.type(address)

        assert 0 == keyboard.exit_code(), keyboard.screen

    assert f"{CONNECTED} Secret {NAMESPACE}/paste is published." in keyboard.screen
    assert "code=" not in keyboard.screen
    assert place.published("paste")


def arrived(browser: Chrome, beginning: str) -> str:
    """Return the address that the browser has come to."""
    WebDriverWait(browser, SECONDS).until(lambda _: browser.current_url.startswith(beginning))
    return str(browser.current_url)


def test_a_loopback_app_can_be_pasted_on_another_machine(place: Place, connect: Connect, browser: Chrome) -> None:
    """Nobody listens at the port where the browser is, so it shows an error, and its address is pasted."""
    with connect("remote", "--paste", app="loopback") as keyboard:
        browser.get(keyboard.opened())
        decide(browser, "accept")
        keyboard.type(arrived(browser, "http://localhost:"))

        assert 0 == keyboard.exit_code(), keyboard.screen

    assert place.published("remote")


@pytest.mark.parametrize("app", ["hosted", "loopback"])
def test_ctrl_c_leaves_nothing_usable_behind(place: Place, connect: Connect, browser: Chrome, app: str) -> None:
    """The person has the page of Pipedrive open, and accepts afterwards: nothing is connected."""
    name = f"interrupted-{app}"
    with connect(name, app=app) as keyboard:
        keyboard.wait_for("Waiting")
        link = keyboard.opened()
        browser.get(link)
        if app == "hosted":
            link = browser.current_url
            press(browser, "Continue to Pipedrive")
        wait_for(browser, "asks for access")

        keyboard.press_ctrl_c()
        assert 130 == keyboard.exit_code()

    assert name not in place.links()
    decide(browser, "accept")
    if app == "hosted":
        wait_for(browser, "This link cannot be used")
        keep(browser, "interrupted")
        browser.get(link)
        assert "This link cannot be used" == heading(browser)
    assert place.stored(name) is None
