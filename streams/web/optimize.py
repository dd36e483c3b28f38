"""`/api/v3/ml/optimize`: ask for better parameters, and read what the optimizer answered.

A request goes onto the request topic; answers are read from the optimizer's topics,
so they are what every subscriber gets.
"""

from __future__ import annotations

import time
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import web

from schemas import optimizer
from schemas.codec import codec_of
from schemas.error import InfraError, RecordError
from schemas.key import key_of
from schemas.optimizer import OptimizerRequest
from schemas.topic import OPTIMIZER_RECOMMENDATION, OPTIMIZER_REQUEST, OPTIMIZER_ROLLOUT
from streams.trace import trace_of_request
from streams.web.problem import problem, refused

if TYPE_CHECKING:
    from streams.application import Application
    from streams.web.courier import Courier
    from streams.web.reader import Reader

OPTIMIZE: Final = "/api/v3/ml/optimize"
STATUS: Final = f"{OPTIMIZE}/status"
RECOMMENDATIONS: Final = f"{OPTIMIZE}/recommendations"


def check_request(body: bytes, now_ms: int) -> OptimizerRequest:
    """The request that a body is; its id and time are made up where they are missing.

    Raises
    ------
    RecordError
        When it is none, or one that cannot be answered.
    """
    try:
        sent = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        sent = None
    if isinstance(sent, dict):
        sent.setdefault("request_id", uuid.uuid4().hex)
        sent.setdefault("timestamp", now_ms)
        body = msgspec.json.encode(sent)
    decoded, rejected = codec_of(OptimizerRequest).decode([body])
    for one in rejected:
        raise one.error
    request: OptimizerRequest = decoded[0]
    optimizer.check_request(request)
    return request


def add_optimize(app: Application, courier: Courier, reader: Reader | None) -> None:
    """Take requests, and show what became of them."""
    routes = app.web.web_app.router

    async def ask(request: web.Request) -> web.Response:
        """202 with where the request is; 400 when it is none; 503 when the broker did not take it."""
        try:
            wanted = check_request(await request.read(), time.time_ns() // 1_000_000)
        except RecordError as exc:
            return refused(exc)
        topic = app.settings.name_of(OPTIMIZER_REQUEST)
        try:
            trace = trace_of_request(request.headers)
            place = await courier.send(topic, key_of(wanted.scope), msgspec.json.encode(wanted), trace)
        except InfraError as exc:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(exc))
        answer = {"status": "accepted", "request_id": wanted.request_id, **place._asdict()}
        return web.json_response(answer, status=HTTPStatus.ACCEPTED)

    async def status(request: web.Request) -> web.Response:
        """Requests and rollouts, newest first; `?scope=` narrows them."""
        return await _show(request, requests=OPTIMIZER_REQUEST, rollouts=OPTIMIZER_ROLLOUT)

    async def recommendations(request: web.Request) -> web.Response:
        """Recommendations, newest first; `?scope=` narrows them."""
        return await _show(request, recommendations=OPTIMIZER_RECOMMENDATION)

    async def _show(request: web.Request, **topics: Any) -> web.Response:
        if reader is None:
            return problem(HTTPStatus.NOT_FOUND, "this worker reads no outputs: DWCP_PAGE is off")
        await reader.caught_up()
        scope = request.query.get("scope")
        found = {}
        for name, topic in topics.items():
            records = reader.view.records(topic.kind)
            found[name] = [r for r in records if scope is None or r.get("scope") == scope]
        return web.json_response(found)

    routes.add_post(OPTIMIZE, ask)
    routes.add_get(STATUS, status)
    routes.add_get(RECOMMENDATIONS, recommendations)
