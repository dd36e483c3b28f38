"""Who may ask what: in front of every page of a worker.

Health, metrics and the page's own files are open: they hold counts, never records. All
else asks for the bearer token where one is configured. Without a token the pages trust
their address: on loopback the `Host` must be loopback's too (no page of another site can
be made to name us), and elsewhere nothing can be posted. A post that a browser sends on
behalf of another site is refused always.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from aiohttp import web
from yarl import URL

from streams.settings import Settings
from streams.web.problem import problem

MAX_BODY_BYTES: Final = 65_536
"""Of a request; what is longer is answered 413."""

LIVE: Final = "/api/v3/live"
"""The stream of events, which goes on for as long as somebody listens."""

_ANSWER_S: Final = 15.0
_OPEN: Final = ("/health/", "/metrics", "/page/")
_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Server": "dwcp",  # else it names the versions of Python and aiohttp
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = logging.getLogger(__name__)


def guard(pages: web.Application, settings: Settings) -> None:
    """Put the checks in front of all pages."""
    local = is_loopback(settings.web_host)

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let through what may pass; answer whatever goes wrong with a problem document."""
        refusal = _refusal(request, settings.web_token, local)
        if refusal is not None:
            return refusal
        try:
            return await asyncio.wait_for(handler(request), None if request.path == LIVE else _ANSWER_S)
        except web.HTTPException as exc:
            answer = problem(exc.status, exc.reason)
            if "Allow" in exc.headers:
                answer.headers["Allow"] = exc.headers["Allow"]
            return answer
        except TimeoutError:
            return problem(HTTPStatus.REQUEST_TIMEOUT, f"no answer within {_ANSWER_S:g} s: try again later")
        except UnicodeDecodeError:
            return problem(HTTPStatus.BAD_REQUEST, "this is not UTF-8")
        except ConnectionError:
            raise
        except Exception:
            _log.exception("%s %s failed", request.method, request.path)
            return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "this is a bug of the worker; its log says more")

    async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)

    pages.middlewares.append(check)
    pages.on_response_prepare.append(add_headers)


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own.

    >>> [is_loopback(h) for h in ("127.0.0.1", "localhost", "::1", "[::1]", "0.0.0.0", "example.org", "")]
    [True, True, True, True, False, False, False]
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _refusal(request: web.Request, token: str, local: bool) -> web.Response | None:
    host = _host(request)
    if host is None:
        return problem(HTTPStatus.BAD_REQUEST, "the Host header is no host")
    origin = request.headers.get("Origin")
    if origin is not None and request.method != "GET" and origin.partition("://")[2] != request.headers.get("Host"):
        return problem(HTTPStatus.FORBIDDEN, "a page of another site cannot post here")
    if (request.content_length or 0) > MAX_BODY_BYTES:
        return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {MAX_BODY_BYTES} bytes are read")
    if request.path == "/" or request.path.startswith(_OPEN):
        return None
    if token:
        given = request.headers.get("Authorization", "")
        if hmac.compare_digest(given.encode("utf-8", "surrogateescape"), f"Bearer {token}".encode()):
            return None
        answer = problem(HTTPStatus.UNAUTHORIZED, "send `Authorization: Bearer`, with the token of DWCP_WEB_TOKEN")
        answer.headers["WWW-Authenticate"] = 'Bearer realm="dwcp"'
        return answer
    if local and not is_loopback(host):
        return problem(HTTPStatus.FORBIDDEN, "without DWCP_WEB_TOKEN this worker answers to loopback's names only")
    if not local and request.method not in ("GET", "HEAD"):
        return problem(HTTPStatus.FORBIDDEN, "set DWCP_WEB_TOKEN: without one, nothing can be posted from other hosts")
    return None


def _host(request: web.Request) -> str | None:
    try:
        return URL(f"http://{request.headers.get('Host', '')}").host
    except ValueError:
        return None
