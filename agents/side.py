"""Side topics: models, experiments, operators' feedback and requests, to every partition they concern."""

from __future__ import annotations

from online_models.forward import Announcements, Experiments, Feedback, Requests
from schemas.topic import EXPERIMENT_STATE, MODEL_ANNOUNCEMENT, OPTIMIZER_REQUEST, SYSTEM_FEEDBACK
from streams.agent import declare

agents = (
    declare("model-announcements", source=MODEL_ANNOUNCEMENT, state=Announcements, publishes=()),
    declare("experiments", source=EXPERIMENT_STATE, state=Experiments, publishes=()),
    declare("feedback", source=SYSTEM_FEEDBACK, state=Feedback, publishes=()),
    declare("optimizer-requests", source=OPTIMIZER_REQUEST, state=Requests, publishes=()),
)
