"""`/metrics`, `/health/ready` and `/health/live`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from streams.application import Application

_METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


def add_health(app: Application) -> None:
    """Say how the worker is."""

    @app.page("/metrics", name="metrics")
    async def metrics(self: Any, request: Any) -> Any:
        """Prometheus metrics in the text format."""
        return self.bytes(app.metrics.render(), headers={"Content-Type": _METRICS_TYPE})

    @app.page("/health/ready", name="ready")
    async def ready(self: Any, request: Any) -> Any:
        """200 once partitions are assigned and kernels compiled, else 503."""
        return _answer(self, app.ready, ready=app.ready, partitions=_partitions(app))

    @app.page("/health/live", name="live")
    async def live(self: Any, request: Any) -> Any:
        """200 while offsets advance or nothing waits, else 503."""
        stalled_s = app.stalled_s
        return _answer(self, stalled_s <= app.settings.stall_timeout_s, stalled_s=round(stalled_s, 3))


def _answer(view: Any, ok: bool, **facts: Any) -> Any:
    return view.json({"status": "ok" if ok else "unavailable", **facts}, status=200 if ok else 503)


def _partitions(app: Application) -> int:
    return len(app.consumer.tracker.partitions()) if app.started else 0
