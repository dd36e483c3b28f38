"""Errors of the API: RFC 9457 documents, which say what to do and nothing of our insides."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from schemas.error import RecordError

PROBLEM: Final = "application/problem+json"


def problem(status: int, detail: str, **more: Any) -> web.Response:
    """An answer that says what is wrong."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail, **more}
    return web.Response(status=status, body=json.dumps(body).encode(), content_type=PROBLEM)


def refused(error: RecordError) -> web.Response:
    """A request whose body is not the record it should be."""
    return problem(HTTPStatus.BAD_REQUEST, str(error), reason=error.reason)
