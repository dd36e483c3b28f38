"""Pure computation on columns: features, forecasts, labels, selection, detection.

Nothing here knows Kafka, files or the clock; a state's results depend on the records
it was given and their order, never on how the stream was cut into batches. The only
place that imports river.
"""

from __future__ import annotations

from schemas.kernel_cache import isolate

isolate()
