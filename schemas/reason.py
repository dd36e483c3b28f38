"""Why a record is rejected: the closed set of reason codes.

They are what `dwcp-error-reason` says in a dead letter and what `dwcp_dead_letters` is
labelled with, so they are few and their meaning does not change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

REASONS: Final[Mapping[str, str]] = {
    "empty": "the value is empty",
    "malformed": "neither JSON nor Avro: truncated, of another format, or nested too deeply",
    "unknown_schema": "Avro whose schema nobody here knows",
    "schema": "it decodes, but a field is missing or of another type",
    "enum": "a name or number that its enumeration does not have",
    "unit": "a number whose unit is not known, or that contradicts itself in two units",
    "range": "a value outside what its field allows",
    "cross_field": "values that cannot hold together",
    "future": "more than an hour ahead of the broker's time of the record",
    "oversized": "what it became is larger than the broker takes",
    "step_failed": "an agent's step raises on it: a bug here, replay it once that is mended",
    "late": "too far behind its key's clock; to the late topic instead of the dead letters",
}
"""One line each."""
