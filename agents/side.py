"""Side topics: announced models, experiments and operators' feedback, to every partition they concern."""

from __future__ import annotations

from online_models.forward import Announcements, Experiments, Feedback
from schemas.topic import EXPERIMENT_STATE, MODEL_ANNOUNCEMENT, SYSTEM_FEEDBACK
from streams.agent import declare

agents = (
    declare("model-announcements", source=MODEL_ANNOUNCEMENT, state=Announcements, publishes=()),
    declare("experiments", source=EXPERIMENT_STATE, state=Experiments, publishes=()),
    declare("feedback", source=SYSTEM_FEEDBACK, state=Feedback, publishes=()),
)
