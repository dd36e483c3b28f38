"""What a worker answers over HTTP: health and metrics, the API, and the live page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.web.courier import Courier
from streams.web.feedback import add_feedback_page
from streams.web.guard import guard
from streams.web.health import add_health
from streams.web.live import add_live
from streams.web.openapi import add_description
from streams.web.optimize import add_optimize
from streams.web.reader import Reader
from streams.web.view import View

if TYPE_CHECKING:
    from streams.application import Application


def add_pages(app: Application) -> None:
    """`/health`, `/metrics`, `/api/v3`, and `/` unless it is off."""
    guard(app.web.web_app, app.settings)
    add_health(app)
    add_description(app)
    courier = Courier(app.settings)
    app.web.web_app.on_cleanup.append(courier.closed)
    add_feedback_page(app, courier)
    reader = Reader(app.settings, View()) if app.settings.page == "on" else None
    add_optimize(app, courier, reader)
    if reader is not None:
        add_live(app, reader)
