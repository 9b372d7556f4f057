"""A real Chromium on the pages of a real service, over the demo's database with all its pictures.

Without a browser these tests skip and say so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
import uvicorn

from benchmarks.browser import ARGUMENTS, chromium
from evigraph.graphapi.http.app import create_app
from evigraph.graphapi.store.settings import Settings
from evigraph.indexer.publish.publish import publish
from tests.support.synthetic import synthetic_run

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

Open = Callable[..., "Page"]


@pytest.fixture(scope="session")
def demo_database(demo_folder: Path) -> Path:
    """The published demo."""
    return demo_folder / "demo" / "evidence.duckdb"


@contextmanager
def running(database: Path, settings: Settings | None = None) -> Iterator[str]:
    """A service on a free port of 127.0.0.1; gives its URL without a slash at the end."""
    config = uvicorn.Config(create_app(database, settings=settings), port=0, log_level="error", lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            if not thread.is_alive():
                pytest.fail("the service ended before it was started")
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def service(demo_database: Path) -> Iterator[str]:
    """The URL of a service over the demo."""
    with running(demo_database) as url:
        yield url


@pytest.fixture(scope="session")
def bare_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a service over the run `bare`: 1000 classes, without pictures, semantic maps and verification."""
    folder = tmp_path_factory.mktemp("bare")
    synthetic_run(folder / "run", images=300, classes=1000, name="bare", context=False)
    publish([folder / "run"], folder / "evidence.duckdb")
    with running(folder / "evidence.duckdb") as url:
        yield url


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium, with a profile of its own; while it is there this thread cannot run an event loop of others."""
    path = chromium()
    if path is None:
        pytest.skip("the browser tests need chromium: apt-get install chromium, or set EVIGRAPH_CHROMIUM")
    playwright = pytest.importorskip("playwright.sync_api", reason="the browser tests need the package playwright")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, service: str) -> Iterator[Open]:
    """Opens an address of the explorer and waits until it is still; fails on any error of the console.

    A page may be opened with `width`, `height` and `theme`; `allow_errors` where a test breaks something itself.
    """
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def open_(
        address: str,
        *,
        width: int = 1280,
        height: int = 900,
        theme: Literal["dark", "light"] = "light",
        allow_errors: bool = False,
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        if not allow_errors:
            page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address if "://" in address else service + address)
        settled(page)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert errors == []


def settled(page: Page) -> None:
    """Wait until the page has taken up its address, nothing is asked for and no panel is loading."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 30)))")
    page.wait_for_load_state("networkidle")
    page.locator(".skeleton, [aria-busy=true]").first.wait_for(state="detached")
