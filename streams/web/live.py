"""The live page at `/`, and what it is fed with: `/api/v3/live`, one document a second."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from streams.metric import total
from streams.recording.moment import rfc3339
from streams.web.guard import LIVE
from streams.web.problem import problem

if TYPE_CHECKING:
    from streams.application import Application
    from streams.web.reader import Reader
    from streams.web.view import Seen

STATE: Final = f"{LIVE}/state"
RECORD: Final = f"{LIVE}/record"

_FILES: Final = Path(__file__).parent.parent / "page"
_PERIOD_S: Final = 1.0
_LISTENERS_MAX: Final = 20
_SHOWN: Final = ("selector_", "forecast_", "anomaly_", "network_links", "system_nodes")


class Live:
    """The page's handlers.

    Parameters
    ----------
    app
        The worker.
    reader
        Fills the view.
    """

    def __init__(self, app: Application, reader: Reader) -> None:
        self._app = app
        self._reader = reader
        self._closing = asyncio.Event()
        self._listeners = 0
        self._rates: deque[tuple[float, float]] = deque(maxlen=10)

    async def page(self, _: web.Request) -> web.FileResponse:
        """The page itself."""
        return web.FileResponse(_FILES / "index.html")

    async def state(self, request: web.Request) -> web.Response:
        """What the page shows now, as one document; `?link=` says whose forecasts."""
        await self._reader.caught_up()
        return web.Response(body=self._document(request.query.get("link", "")), content_type="application/json")

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """The same, each second, as server-sent events."""
        if self._listeners >= _LISTENERS_MAX:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, f"{_LISTENERS_MAX} pages are open already: close one")
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        await answer.prepare(request)
        link = request.query.get("link", "")
        self._listeners += 1
        try:
            while not self._closing.is_set():
                self._reader.ask()
                # A page that names no link keeps to one, but not before there is something to choose from.
                link = link or (self._reader.view.fullest() if self._reader.there else "")
                await answer.write(b"data: " + self._document(link) + b"\n\n")
                await _wait(self._closing, _PERIOD_S)
        except ConnectionError:
            pass  # whoever listened has left
        finally:
            self._listeners -= 1
        return answer

    async def record(self, request: web.Request) -> web.Response:
        """One record by its id: where it is, what it holds, and how to record and replay it."""
        seen = self._reader.view.find(request.query.get("id", ""))
        if seen is None:
            return problem(HTTPStatus.NOT_FOUND, "no such record among the latest: `dwcp record` reads older ones")
        return web.json_response(_described(request.query["id"], seen))

    async def close(self, _: web.Application) -> None:
        """End the streams, so that a page that is open does not hold up a stop."""
        self._closing.set()
        self._reader.stop()

    def _document(self, link: str) -> bytes:
        view = self._reader.view.document(link)
        return orjson.dumps(
            {
                "worker": self._worker(),
                "models": self._models(),
                "missing": self._reader.missing,
                "caught_up": self._reader.there,
                **view,
            }
        )

    def _worker(self) -> dict[str, Any]:
        app, sample = self._app, self._app.metrics.registry.get_sample_value
        lag, seconds = app.lag.records(), app.lag.seconds()
        counts = {m.name: sum(s.value for s in m.samples if s.name.endswith("_total")) for m in _counters(app)}
        now = time.monotonic()
        if not self._rates or now - self._rates[-1][0] > _PERIOD_S / 2:
            self._rates.append((now, counts["dwcp_events_in"]))
        (first, before), (last, after) = self._rates[0], self._rates[-1]
        return {
            "time": time.time_ns() // 1_000_000,
            "id": app.settings.instance_id or app.settings.app_id,
            "ready": app.ready,
            "partitions": int(sample("dwcp_assigned_partitions") or 0),
            "stalled_s": round(app.stalled_s, 1),
            "lag_records": sum(lag.values()),
            "lag_s": round(max(seconds.values(), default=0.0), 1),
            "events_in": counts["dwcp_events_in"],
            "events_per_s": round((after - before) / (last - first), 1) if last > first else 0.0,
            "age_p99_s": _quantile(_buckets(app), 0.99),
            "dead_letters": counts["dwcp_dead_letters"],
            "late": counts["dwcp_late_records"],
        }

    def _models(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for store in self._app.stores.values():
            found |= {k: v for k, v in total(store.gauges()).items() if k.startswith(_SHOWN)}
        return found


def add_live(app: Application, reader: Reader) -> None:
    """Serve the page, its files and its data."""
    live = Live(app, reader)
    pages = app.web.web_app
    pages.router.add_get("/", live.page)
    pages.router.add_static("/page", _FILES)
    pages.router.add_get(LIVE, live.stream)
    pages.router.add_get(STATE, live.state)
    pages.router.add_get(RECORD, live.record)
    pages.on_shutdown.append(live.close)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return


def _counters(app: Application) -> list[Any]:
    return [m for c in (app.metrics.events_in, app.metrics.dead_letters, app.metrics.late) for m in c.collect()]


def _buckets(app: Application) -> dict[float, float]:
    """Batches by upper bound of their oldest record's age, in seconds, over all agents."""
    found: dict[float, float] = {}
    for metric in app.metrics.record_age_seconds.collect():
        for sample in metric.samples:
            if sample.name.endswith("_bucket"):
                bound = float(sample.labels["le"])
                found[bound] = found.get(bound, 0.0) + sample.value
    return found


def _quantile(buckets: dict[float, float], share: float) -> float | None:
    """The upper bound of the bucket that a quantile falls into; None without observations, or beyond all bounds.

    >>> _quantile({0.1: 98.0, 0.5: 100.0, float("inf"): 100.0}, 0.99)
    0.5
    """
    n = max(buckets.values(), default=0.0)
    reached = [bound for bound, count in sorted(buckets.items()) if n and count >= share * n]
    return reached[0] if reached and reached[0] != float("inf") else None


def _described(record_id: str, seen: Seen) -> dict[str, Any]:
    origin = record_id.rpartition(":")[0]
    since, until = rfc3339(seen.timestamp_ms), rfc3339(seen.timestamp_ms + 1)
    try:
        value = orjson.loads(seen.value)
    except orjson.JSONDecodeError:
        value = f"{len(seen.value)} bytes of Avro"
    return {
        "id": record_id,
        "place": f"{seen.topic}/{seen.partition}/{seen.offset}",
        "origin": origin,
        "key": seen.key,
        "record": f"dwcp record {seen.topic} --since {since} --until {until} --out record.jsonl",
        "replay": "dwcp replay record.jsonl --to -",
        "value": value,
    }
