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
from schemas.error import RecordError
from schemas.feedback import AnomalyFeedback, check_feedback
from schemas.header import CONTENT_TYPE, JSON
from schemas.key import key_of
from schemas.topic import SYSTEM_FEEDBACK

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


def add_feedback_page(app: Application) -> None:
    """Take feedback over HTTP."""

    @app.page(PATH, name="feedback")
    class Feedback(View):
        """Operators' words on anomalies."""

        async def post(self, request: Any, **_: Any) -> Any:
            """202 when the word is on its way to the topic; 400 with a problem document when it is none."""
            try:
                word = check_word(await self.read_request_content(request))
            except RecordError as exc:
                return self.json(problem_of(exc), status=HTTPStatus.BAD_REQUEST, content_type=_PROBLEM)
            topic = app.settings.name_of(SYSTEM_FEEDBACK)
            await app.producer.publish(topic, [word.key], [word.value], [[(CONTENT_TYPE, JSON)]])
            return self.json({"status": "accepted", "topic": topic}, status=HTTPStatus.ACCEPTED)
