"""`POST /api/v3/ml/anomaly-detection/feedback`: an operator's word, onto the feedback topic.

The page only checks and publishes. What the word changes is decided where its record
is read, and said on `dwcp.system.threshold.v1`. Problems are RFC 9457 documents.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
from faust.web import View

from schemas.codec import codec_of
from schemas.error import InfraError, RecordError
from schemas.feedback import AnomalyFeedback, check_feedback
from schemas.key import key_of
from schemas.topic import SYSTEM_FEEDBACK
from streams.trace import trace_of_request
from streams.web.courier import Courier
from streams.web.problem import problem

if TYPE_CHECKING:
    from streams.application import Application

PATH: Final = "/api/v3/ml/anomaly-detection/feedback"

_PROBLEM: Final = "application/problem+json"


class Word(NamedTuple):
    """A checked word, as it goes onto the topic."""

    key: bytes | None
    value: bytes


def check_word(body: bytes) -> Word:
    """The record that a request's body is.

    Raises
    ------
    RecordError
        When it is none, or does not say what is meant.
    """
    codec = codec_of(AnomalyFeedback)
    decoded, rejected = codec.decode([body])
    for one in rejected:
        raise one.error
    check_feedback(decoded[0])
    key = key_of(decoded[0].node_id) if decoded[0].node_id else None
    return Word(key, msgspec.json.encode(decoded[0]))


def problem_of(error: RecordError) -> dict[str, Any]:
    """What is wrong with a request, for its sender."""
    return {
        "type": "about:blank",
        "title": "this is no feedback on an anomaly",
        "status": HTTPStatus.BAD_REQUEST.value,
        "detail": str(error),
        "reason": error.reason,
    }


def add_feedback_page(app: Application, courier: Courier) -> None:
    """Take feedback over HTTP."""

    @app.page(PATH, name="feedback")
    class Feedback(View):
        """Operators' words on anomalies."""

        async def post(self, request: Any, **_: Any) -> Any:
            """202 with where the word is; 400 with a problem document when it is none; 503 without a broker."""
            try:
                word = check_word(await request.read())  # reads no more than the limit
            except RecordError as exc:
                return self.json(problem_of(exc), status=HTTPStatus.BAD_REQUEST, content_type=_PROBLEM)
            topic = app.settings.name_of(SYSTEM_FEEDBACK)
            try:
                place = await courier.send(topic, word.key, word.value, trace_of_request(request.headers))
            except InfraError as exc:
                return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(exc))
            return self.json({"status": "accepted", **place._asdict()}, status=HTTPStatus.ACCEPTED)
