"""The explorer on a database of 18 million edges, in a real browser: how soon a page is there, and answers a click.

    python -m benchmarks.explorer_speed [--edges 18000000] [--repeats 5] [--json FILE] [--strict]

    first content    from the address to the first panel with its data, in a browser that has the explorer's files
    still            until every panel has its data
    interaction      from a click to the last panel with the new data; answers that were not given before
    largest answer   bytes of the largest answer of the service, as sent

The database is that of benchmarks/database_scale.py, published if it is not there yet. Medians over the repeats, each
of another class, channel and image. Needs the package playwright, and chromium (or EVIGRAPH_CHROMIUM).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmarks.browser import ARGUMENTS, chromium
from benchmarks.database_scale import EDGES, EDGES_PER_IMAGE
from benchmarks.report import Report
from benchmarks.scale import data as scale_data
from benchmarks.scale.preferences import CLASSES
from benchmarks.scale.publish import publish_alone
from benchmarks.scale.server import serving
from evigraph.schema.errors import EvidenceError

if TYPE_CHECKING:
    from playwright.sync_api import Page, Response

FIRST_CONTENT_MS_AT_MOST = 1000
INTERACTION_MS_AT_MOST = 200
ANSWER_BYTES_AT_MOST = 1_000_000
RUN = "scale"
_PAGES: dict[str, Callable[[int], str]] = {
    "runs": lambda _: "/",
    "run": lambda _: f"/runs/{RUN}",
    "classes": lambda _: f"/runs/{RUN}/classes",
    "class": lambda i: f"/runs/{RUN}/class/{(17 * i + 3) % CLASSES}?layer=conv4_3",
    "channel": lambda i: f"/runs/{RUN}/channel/conv4_3/{(37 * i + 5) % 512}",
    "image": lambda i: f"/runs/{RUN}/image/{(911 * i + 7) % 4000}",
    "failures": lambda i: f"/runs/{RUN}/failures?label={(17 * i + 3) % CLASSES}",
}
"""Addresses by page; another one for each repeat."""
_CLICKS: dict[str, tuple[str, str]] = {
    "class.layer": ("class", "button:text-is('conv5_3')"),
    "classes.sort": ("classes", "th button >> nth=2"),
    "failures.layer": ("failures", "#contrast .tools select >> nth=1"),
    "image.focus": ("image", ".pyramid [data-id] text.name >> nth=2"),
}
"""What is clicked (of a select: its first other option is chosen), by the name of the figure: the page, and where."""
_DONE = "!document.querySelector('.skeleton, [aria-busy=true]') && document.querySelector('.panel, main h1')"
_WATCH = """() => {
  window.firstContent = new Promise((done) => {
    const look = () => {
      const panel = document.querySelector('.panel[aria-busy=false], .tree[aria-busy=false]');
      if (panel) done(performance.now()); else requestAnimationFrame(look);
    };
    look();
  });
}"""


def still(page: Page) -> None:
    """Wait until every panel has its data."""
    page.wait_for_selector(".skeleton, [aria-busy=true]", state="detached")


def open_ms(page: Page, url: str) -> tuple[float, float]:
    """Milliseconds from the navigation to the first panel with data, and to the last."""
    page.goto(url, wait_until="commit")
    page.evaluate(_WATCH)
    first = float(page.evaluate("window.firstContent"))
    still(page)
    return first, float(page.evaluate("performance.now()"))


def click_ms(page: Page, where: str) -> float:
    """Milliseconds from a click to the last panel with the new data."""
    target = page.locator(where).first
    is_select = target.evaluate("(element) => element.tagName") == "SELECT"
    values = target.evaluate("(element) => [...(element.options ?? [])].filter((o) => !o.selected).map((o) => o.value)")
    began = time.perf_counter()
    if is_select:
        target.select_option(values[0])
    else:
        target.click()
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    still(page)
    return (time.perf_counter() - began) * 1000


def measure(report: Report, url: str, repeats: int) -> None:
    """All figures of one service."""
    from playwright.sync_api import sync_playwright

    path = chromium()
    if path is None:
        raise EvidenceError("no chromium on the path; install it, or set EVIGRAPH_CHROMIUM")
    sizes: dict[str, int] = {}

    def seen(response: Response) -> None:
        if response.url.endswith("/graphql") and response.ok:
            sizes[response.request.post_data or ""] = len(response.body())

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        page = browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
        page.set_default_timeout(60_000)
        page.goto(url)
        still(page)
        for name, address in _PAGES.items():
            page.goto(url + address(97))  # the page's modules are there, and the service is warm
            still(page)
            times = [open_ms(page, url + address(i)) for i in range(repeats)]
            for figure, place, most in (("first_content_ms", 0, FIRST_CONTENT_MS_AT_MOST), ("still_ms", 1, None)):
                add(report, f"{name}.{figure}", statistics.median(t[place] for t in times), "ms", most)
        for name, (of, where) in _CLICKS.items():
            times_ms = []
            for i in range(repeats):
                page.goto(url + _PAGES[of](i + 200))
                still(page)
                times_ms.append(click_ms(page, where))
            add(report, f"{name}.interaction_ms", statistics.median(times_ms), "ms", INTERACTION_MS_AT_MOST)
        page.on("response", seen)
        for address in _PAGES.values():
            page.goto(url + address(300))
            still(page)
        page.wait_for_load_state("networkidle")
        browser.close()
    add(report, "largest_answer_bytes", max(sizes.values()), "bytes", ANSWER_BYTES_AT_MOST)


def add(report: Report, name: str, value: float, unit: str, most: float | None) -> None:
    """Add a figure, and print its line."""
    ok = report.add(name, value, most=most, unit=unit)
    limit = "" if most is None else f"at most {most:,g}   {'ok' if ok else 'MISSED'}"
    print(f"{name:<28} {value:>10,.0f} {unit:<6} {limit}".rstrip(), file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edges", type=int, default=EDGES, help=f"about so many; default {EDGES}")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", metavar="FILE", help='where the figures go; "-" is standard output')
    parser.add_argument("--strict", action="store_true", help="exit code 1 where a figure misses its limit")
    options = parser.parse_args()
    report = Report()
    print(report.heading(), file=sys.stderr)
    try:
        images = max(10, round(options.edges / EDGES_PER_IMAGE / 10) * 10)
        folder = scale_data.cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        run_dir = scale_data.make(images, 0, RUN, scale_data.kept_at(images, 0, RUN, folder))
        database = run_dir.with_suffix(".duckdb")
        if not database.exists():
            publish_alone(run_dir, database)
        with serving(database) as port:
            measure(report, f"http://127.0.0.1:{port}", options.repeats)
    except EvidenceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return report.finish(options.json, options.strict)


if __name__ == "__main__":
    sys.exit(main())
