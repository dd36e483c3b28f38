"""Side topics: announced models and operators' feedback, to every partition they concern."""

from __future__ import annotations

from online_models.forward import Announcements, Feedback
from schemas.topic import MODEL_ANNOUNCEMENT, SYSTEM_FEEDBACK
from streams.agent import declare

agents = (
    declare("model-announcements", source=MODEL_ANNOUNCEMENT, state=Announcements, publishes=()),
    declare("feedback", source=SYSTEM_FEEDBACK, state=Feedback, publishes=()),
)
