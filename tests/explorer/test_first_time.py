"""What a first-time user does, with the mouse alone: both headline questions, and the planted cause of failures."""

from __future__ import annotations

import pytest

from tests.explorer.conftest import Open, settled

pytestmark = pytest.mark.slow


def test_which_channels_support_boat_and_what_they_look_at(open_page: Open) -> None:
    page = open_page("/")
    page.get_by_role("link", name="demo", exact=True).click()
    settled(page)
    page.get_by_role("navigation", name="places").get_by_role("link", name="Classes").click()
    settled(page)
    page.locator("#classes").get_by_role("link", name="boat", exact=True).first.click()
    settled(page)
    support = page.locator("#support")
    assert "70 of 70" in support.inner_text()
    support.get_by_role("link", name="45", exact=True).click()
    page.wait_for_url("**/channel/conv4_3/45*")
    settled(page)
    assert page.locator("#patches img, #patches image").count() >= 8
    # The demo plants boats at sea and things in the sky: this channel's evidence for boats lies on the sky.
    assert "sky" in page.locator("#context").inner_text()
    page.go_back()
    page.wait_for_url("**/class/0*")


def test_the_planted_cause_of_failures_is_found(open_page: Open) -> None:
    """Scenes that contradict their usual context are what fails: planes on roads are taken for birds."""
    page = open_page("/runs/demo")
    page.get_by_role("navigation", name="places").get_by_role("link", name="Failures").click()
    settled(page)
    page.get_by_role("link", name="plane predicted as bird: 6 of 66 images").click()
    settled(page)
    page.locator("#contrast .tools select").first.select_option(label="context labels")
    settled(page)
    first = page.locator("#contrast tbody tr").first.locator("td").all_inner_texts()
    assert first[0] in ("road", "grass", "track", "sky", "plane")
    page.locator("#images a").first.click()
    page.wait_for_url("**/runs/demo/image/*")
    settled(page)
    assert "bird" in page.locator("main").inner_text()
    page.get_by_role("button", name="label", exact=False).first.wait_for()
