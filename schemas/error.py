"""The errors this project raises, and what each one means for a process.

::

    DwcpError
      ConfigError           exit 78  names the variable, its value and what is allowed
      RecordError                    the record goes to the dead-letter topic; the stream goes on
        DecodeError                  bytes that are not the record they should be
        ValidationError              decoded, but a value is outside its contract
        StepFailed                   an agent's step raises on this record: a bug of ours
        LateRecord                   too far behind its key's clock; goes to the late topic
      ModelError                     a model cannot answer; the fallback does, and it is counted
        ModelRejected                an artifact failed verification; the running model stays
        FeatureMismatch              an artifact expects other features than we compute
      StateError                     a snapshot that cannot be used; the state is rebuilt by replay
      InfraError            exit 70  broker or disk trouble; raised before the ack, a restart replays
      ConflictError         exit 75  somebody else changed it meanwhile, and nothing was written: look, and say it again
      GateFailed            exit 1   offline: which gate, and by how much
"""

from __future__ import annotations

from typing import Literal


class DwcpError(Exception):
    """Base of every error raised on purpose by this project."""

    exit_code = 1


class ConfigError(DwcpError):
    """A setting that cannot work.

    Parameters
    ----------
    variable
        Name of the environment variable or option.
    value
        What it was set to.
    allowed
        What it may be, in words.
    """

    exit_code = 78

    def __init__(self, variable: str, value: object, allowed: str) -> None:
        self.variable = variable
        self.value = value
        self.allowed = allowed
        super().__init__(f"{variable}={value!r} is not usable: {allowed}")


class RecordError(DwcpError):
    """One record that cannot be processed; `reason` is the dead-letter reason code."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class DecodeError(RecordError):
    """Bytes that are not the record they should be."""


class ValidationError(RecordError):
    """A decoded record with a value outside its contract."""


class StepFailed(RecordError):
    """An agent's step raises on this record: a bug of ours, and the record can be replayed once it is mended."""


class LateRecord(RecordError):
    """A record too far behind its key's clock to be applied in order."""


class ModelError(DwcpError):
    """A model that cannot answer."""


Refusal = Literal["signature", "artifact", "hash", "size", "format", "features", "golden", "answer", "slow"]
"""Why a model is refused; `schemas.model.ModelRejection` says what each means."""


class ModelRejected(ModelError):
    """A model artifact that failed verification."""

    def __init__(self, message: str, reason: Refusal = "artifact") -> None:
        self.reason: Refusal = reason
        super().__init__(message)


class FeatureMismatch(ModelError):
    """A model artifact whose feature schema is not the one we compute."""

    reason: Refusal = "features"


class StateError(DwcpError):
    """A snapshot that cannot be used; `reason` is a code for metrics and logs."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


class InfraError(DwcpError):
    """Broker, network or disk trouble."""

    exit_code = 70


class ConflictError(DwcpError):
    """Something was changed by somebody else after it was looked at; nothing was written."""

    exit_code = 75


class GateFailed(DwcpError):
    """A quality gate that was not reached."""

    def __init__(self, gate: str, reached: float, required: float) -> None:
        self.gate = gate
        self.reached = reached
        self.required = required
        super().__init__(f"gate {gate!r} failed: reached {reached:.4g}, required {required:.4g}")
