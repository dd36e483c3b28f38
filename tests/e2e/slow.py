"""An app whose one step is slow: what back-pressure is tested with."""

from __future__ import annotations

import time
from collections.abc import Mapping

from schemas.batch import Batch, Result
from schemas.topic import NETWORK_RAW
from streams.agent import declare
from streams.application import application

STEP_S = 0.03


class Slow:
    """Takes its time, and yields nothing."""

    def step(self, batch: Batch) -> Result:
        """Sleep."""
        time.sleep(STEP_S)
        return Result()

    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        """Nothing to say."""
        return {}


app = application((declare("slow", source=NETWORK_RAW, state=Slow, publishes=()),))
