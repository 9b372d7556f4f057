"""A picture of every page, as docs/explorer.md shows them, to be looked at before they are kept.

python -m tests.explorer.screenshots --db demo/evidence.duckdb --out docs/explorer [--width 1280] [--theme light]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from benchmarks.browser import ARGUMENTS, chromium
from tests.explorer.conftest import running, settled

PAGES = {
    "runs": "/",
    "run": "/runs/demo",
    "classes": "/runs/demo/classes",
    "class": "/runs/demo/class/0?layer=conv4_3",
    "channel": "/runs/demo/channel/conv4_3/45",
    "image": "/runs/demo/image/24?root=both&focus=conv5_3:20:3:2",
    "failures": "/runs/demo/failures?label=5&predicted=1",
}
"""Addresses of the demo by the name of their picture."""


def shot(page: Page, path: Path) -> None:
    """The whole page, with the pictures that are drawn only when they come into sight."""
    height = int(page.evaluate("document.documentElement.scrollHeight"))
    for y in range(0, height, 600):
        page.evaluate("(y) => window.scrollTo(0, y)", y)
        page.wait_for_timeout(80)
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_load_state("networkidle")
    page.screenshot(path=path, full_page=True)
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(255)  # a third of the size, and no difference to be seen
    small.save(path, optimize=True)


def main() -> None:
    """Take them all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--theme", choices=["light", "dark"], default="light")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with running(options.db) as url, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=list(ARGUMENTS))
        context = browser.new_context(
            viewport={"width": options.width, "height": 900}, color_scheme=options.theme, reduced_motion="reduce"
        )
        for name, address in PAGES.items():
            page = context.new_page()
            page.on("console", lambda message: print(message.type, message.text) if message.type == "error" else None)
            page.goto(url + address)
            settled(page)
            shot(page, options.out / f"{name}.png")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
