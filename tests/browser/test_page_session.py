"""The page in a real Chromium, on a box with tokens: who gets in, and what is left for the next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from page_bench import ToldReader, Visit, image, needs_chromium, serious, visit
from playwright.sync_api import Browser, expect
from service_bench import running

from mammosono.appliance.security.roles import Role
from mammosono.appliance.security.tokens import FILE, Tokens

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    return Tokens(tmp_path_factory.mktemp("state") / FILE)


@pytest.fixture(scope="module")
def secrets(tokens: Tokens) -> dict[str, str]:
    roles = {
        "room-1": [Role.WORKSTATION],
        "room-2": [Role.WORKSTATION],
        "radiologist": [Role.READER],
        "workshop": [Role.TECHNICIAN],
    }
    return {name: tokens.add(name, each) for name, each in roles.items()}


@pytest.fixture(scope="module")
def client(tokens: Tokens, secrets: dict[str, str]) -> Iterator[httpx.Client]:
    state: Path = tokens._file.parent
    with running(ToldReader(), state=state) as client:
        yield client


@pytest.fixture
def seen(browser: Browser, client: httpx.Client) -> Iterator[Visit]:
    with visit(browser, client) as seen:
        # Wrong tokens of all tests here come from one address, which is made to wait some time.
        seen.expected += ["401", "429"]
        expect(seen.page.get_by_label("Token")).to_be_focused()
        yield seen


def sign_in(seen: Visit, token: str) -> None:
    seen.page.get_by_label("Token").fill(token)
    seen.page.keyboard.press("Enter")


def go_on(seen: Visit) -> None:
    """Send, unless the page has noticed already that it may not."""
    seen.page.evaluate("document.querySelector('#read')?.click()")


def test_nobody_gets_in_without_a_token(seen: Visit, secrets: dict[str, str]) -> None:
    page = seen.page
    assert serious(page) == []
    expect(page.get_by_role("button", name="New reading")).not_to_be_visible()
    sign_in(seen, "guessed")
    seen.problem("Nobody is known by this token", "Sign in with a token")
    sign_in(seen, secrets["room-1"])
    expect(page.locator("h1")).to_have_text("New reading")
    expect(page.locator("#who")).to_have_text("room-1")
    assert page.evaluate("document.cookie") == ""
    page.reload()
    expect(page.locator("h1")).to_have_text("New reading")


def test_after_signing_out_nothing_is_left(seen: Visit, secrets: dict[str, str]) -> None:
    page = seen.page
    sign_in(seen, secrets["room-1"])
    page.get_by_label("Reference").fill("of-room-1")
    seen.read_pair()
    page.keyboard.press("n")
    seen.choose("mammogram", image("private.png", 3))
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_focused()
    html = page.content()
    assert "private.png" not in html
    assert "of-room-1" not in html
    assert "#" not in page.url
    assert page.context.cookies() == []

    sign_in(seen, secrets["room-2"])
    expect(page.locator("h1")).to_have_text("New reading")
    expect(page.locator(".list .told")).to_have_text("No studies yet.")
    expect(page.locator(".chip-file")).to_have_count(0)


def test_the_study_of_another_is_unknown(seen: Visit, secrets: dict[str, str]) -> None:
    seen.expected.append("404")
    seen.client.post(
        "/v1/studies",
        files=[("mammogram", image("", 4)["buffer"])],
        data={"study_id": "theirs"},
        headers={"Authorization": f"Bearer {secrets['room-1']}"},
    )
    sign_in(seen, secrets["room-2"])
    expect(seen.page.locator("h1")).to_have_text("New reading")
    seen.page.evaluate("location.hash = 'study=theirs'")
    seen.problem("There is no such study")


def test_a_reader_sees_all_and_posts_nothing(seen: Visit, secrets: dict[str, str]) -> None:
    seen.client.post(
        "/v1/studies",
        files=[("mammogram", image("", 5)["buffer"])],
        data={"study_id": "to-be-seen"},
        headers={"Authorization": f"Bearer {secrets['room-2']}"},
    )
    sign_in(seen, secrets["radiologist"])
    page = seen.page
    expect(page.locator("h1")).to_have_text("Choose a study")
    expect(page.get_by_role("button", name="New reading")).not_to_be_visible()
    page.locator(".studies a", has_text="to-be-seen").click()
    expect(page.locator(".banner h1")).to_contain_text("Positive")


def test_a_technician_is_told_that_there_is_nothing_to_see(
    seen: Visit, secrets: dict[str, str]
) -> None:
    sign_in(seen, secrets["workshop"])
    expect(seen.page.locator("h1")).to_have_text("Nothing to read here")
    expect(seen.page.locator("#rail")).not_to_be_visible()


def test_a_token_that_is_revoked_ends_the_work_and_another_goes_on_with_nothing_of_it(
    seen: Visit, tokens: Tokens, secrets: dict[str, str]
) -> None:
    page = seen.page
    sign_in(seen, tokens.add("short", [Role.WORKSTATION]))
    seen.choose("mammogram", image("kept.png", 6))
    tokens.revoke("short")
    go_on(seen)
    seen.problem("token")
    expect(page.get_by_label("Token")).to_be_visible()
    assert "kept.png" not in page.content()

    # The same name again: what was chosen is still there. Another: it is gone.
    sign_in(seen, tokens.add("short", [Role.WORKSTATION]))
    expect(page.locator(".chip-file")).to_contain_text("kept.png")
    tokens.revoke("short")
    go_on(seen)
    expect(page.get_by_label("Token")).to_be_visible()
    sign_in(seen, secrets["room-1"])
    expect(page.locator("h1")).to_have_text("New reading")
    expect(page.locator(".chip-file")).to_have_count(0)


def test_who_tries_too_often_is_told_to_wait(seen: Visit, secrets: dict[str, str]) -> None:
    words = seen.page.locator(".problem")
    for _ in range(20):
        with seen.page.expect_response("**/v1/session"):
            sign_in(seen, "guessed")
        if "Wait" in (words.text_content() or ""):
            break
    seen.problem("Too many tokens were wrong", "Wait ", " seconds.")
    sign_in(seen, secrets["room-1"])
    expect(seen.page.locator("h1")).to_have_text("New reading")
