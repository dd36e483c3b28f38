"""The page itself in a browser, before there is anything to show, and where it has to ask for the token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

import streams.web
from schemas.drift import DriftAlert
from schemas.topic import DRIFT_ALERT
from streams.settings import Settings
from streams.web.guard import guard
from streams.web.view import Seen, View
from tests.streams.web.browser import browser
from tests.streams.web.example import example
from tests.streams.web.server import serving

PAGE = Path(streams.web.__file__).parent.parent / "page"
TOKEN = "a token of the test"
NOTHING = {
    "time": 1_767_578_400_000, "ready": False, "partitions": 0, "stalled_s": 0.0, "lag_records": 0, "lag_s": 0.0,
    "events_in": 0.0, "events_per_s": 0.0, "age_p99_s": None, "dead_letters": 0.0, "late": 0.0,
}  # fmt: skip


def pages(view: View, **environment: str) -> web.Application:
    """The page's files and a view, behind the guard, as a worker serves them."""
    served = web.Application()
    guard(served, Settings.from_environment(environment))

    async def page(_: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE / "index.html")

    async def stream(request: web.Request) -> web.StreamResponse:
        said = {"worker": NOTHING, "models": {}, "missing": [], "caught_up": True, **view.document()}
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b"data: " + orjson.dumps(said) + b"\n\n")
        return answer

    served.router.add_get("/", page)
    served.router.add_static("/page", PAGE)
    served.router.add_get("/api/v3/live", stream)
    return served


@contextmanager
def opened(served: web.Application, expected: tuple[str, ...] = ()) -> Iterator[Any]:
    """The page in a browser; complaints other than the expected fail the test."""
    executable = browser()
    playwright = pytest.importorskip("playwright.sync_api")
    complaints: list[str] = []
    with serving(served) as port, playwright.sync_playwright() as run:
        chromium = run.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 700, "height": 900})
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: complaints.append(str(e)))
        page.goto(f"http://127.0.0.1:{port}/")
        yield page
        chromium.close()
    assert not [said for said in complaints if not any(known in said for known in expected)]


def test_an_empty_page_says_what_is_missing_and_how_it_comes() -> None:
    with opened(pages(View())) as page:
        page.wait_for_selector("html[data-shown]", state="attached")
        sections = page.locator("[data-for]")
        assert sections.count() >= 9
        for k in range(sections.count()):
            assert sections.nth(k).is_visible(), sections.nth(k).get_attribute("data-for")
        assert page.inner_text("#s-worker") == "not ready"
        assert page.locator("canvas").count() == 0
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 700, "nothing sticks out of a narrow window"


def test_the_heat_of_many_rows_is_bounded_and_hotter_is_darker() -> None:
    view = View()
    alerts = [
        example(DriftAlert, id=f"d{k}", timestamp=k * 60_000, model=f"model-{k:02}", value=1.0 + k, threshold=1.0)
        for k in range(40)
    ]
    view.take(DRIFT_ALERT, [(one, Seen("t", 0, k, 0, "k", b"{}")) for k, one in enumerate(alerts)])
    with opened(pages(view)) as page:
        page.wait_for_selector("#drift button")
        assert page.locator("#drift .heat").count() == 30, "the hottest"
        assert "10 calmer rows are not shown" in page.inner_text("#drift-note")
        shades = page.locator("#drift button").evaluate_all("all => all.map((one) => one.style.background)")
        share = [int(one.partition("var(--bad) ")[2].partition("%")[0]) for one in shades]
        assert share == sorted(share)
        assert share[-1] == 100


def test_a_page_that_needs_the_token_asks_for_it_and_then_shows() -> None:
    refused = ("401",)  # what browsers say of any such answer
    with opened(pages(View(), DWCP_WEB_TOKEN=TOKEN), refused) as page:
        page.wait_for_selector("#token-form:not([hidden])")
        assert page.inner_text("#link-state") == "this worker asks for its token"
        page.fill("#token", TOKEN)
        page.keyboard.press("Enter")
        page.wait_for_selector("html[data-shown]", state="attached")
        assert page.is_hidden("#token-form")
        assert page.evaluate("sessionStorage.getItem('token')") == TOKEN
