"""A worker's pages on loopback, with no worker behind them: for what is asked and refused before anything else."""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Thread
from typing import Any, NamedTuple

from aiohttp import web

from streams.demo.process import free_port
from streams.settings import Settings
from streams.web.guard import MAX_BODY_BYTES, guard


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def problem(self) -> Any:
        """The problem document."""
        assert self.headers["Content-Type"].startswith("application/problem+json")
        return json.loads(self.body)


def ask(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
    """One request; underscores in header names are hyphens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


@contextmanager
def serving(pages: web.Application, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve in a thread, with TLS where there is a context; gives the port."""
    port, loop = free_port(), asyncio.new_event_loop()
    runner = web.AppRunner(pages)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=context).start()

    loop.run_until_complete(start())
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield port
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def guarded(environment: Mapping[str, str]) -> web.Application:
    """Pages that show, take, fail and are open, behind the guard."""
    pages = web.Application(client_max_size=MAX_BODY_BYTES)
    guard(pages, Settings.from_environment(environment))

    async def show(_: web.Request) -> web.Response:
        return web.json_response({"shown": True})

    async def take(request: web.Request) -> web.Response:
        return web.json_response({"bytes": len(await request.read())})

    async def fail(_: web.Request) -> web.Response:
        raise RuntimeError("a secret inside")

    pages.router.add_get("/api/v3/show", show)
    pages.router.add_post("/api/v3/take", take)
    pages.router.add_get("/api/v3/fail", fail)
    pages.router.add_get("/health/live", show)
    return pages
