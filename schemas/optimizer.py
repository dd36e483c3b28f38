"""The auto-optimizer: nine parameters, what is recommended for them, and how it is rolled out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final, Literal, get_args

from msgspec import Meta, Struct

from schemas.error import ValidationError
from schemas.field import Amount, Count, Identifier, OptionalIdentifier, Percent, Ratio, TargetTimeMs, TimestampMs

ParameterName = Literal[
    "hde_compression_level",
    "hde_chunk_size_bytes",
    "hde_window_size_bytes",
    "pba_prediction_window_s",
    "pba_confidence_threshold",
    "pba_update_frequency_s",
    "acp_timeout_ms",
    "acp_batch_size",
    "acp_quorum_size",
]
ParameterUnit = Literal["none", "bytes", "s", "ms", "records", "members"]

_STEPS: Final = 20


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter and its hard limits, which nothing recommended may cross.

    Parameters
    ----------
    name
        Its name; ends in the unit where it has one.
    minimum, maximum
        Hard limits, in `unit`.
    unit
        Of its values.
    spacing
        Between values that may be set, from the minimum: 2 for odd integers; 0 for any number.
    """

    name: ParameterName
    minimum: float
    maximum: float
    unit: ParameterUnit
    spacing: int = 1

    @property
    def step(self) -> float:
        """What one action changes: 5 % of the range, in `unit`."""
        return (self.maximum - self.minimum) / _STEPS

    def allows(self, value: float) -> bool:
        """Whether the value may be set.

        >>> quorum = PARAMETERS[-1]
        >>> quorum.allows(7), quorum.allows(8), quorum.allows(17)
        (True, False, False)
        """
        on_grid = not self.spacing or (value - self.minimum) % self.spacing == 0
        return self.minimum <= value <= self.maximum and on_grid

    @property
    def allowed(self) -> str:
        """What may be set, in words.

        >>> PARAMETERS[-1].allowed, PARAMETERS[0].allowed, PARAMETERS[4].allowed
        ('3, 5, 7 and so on to 15', 'a whole number from 1 to 9', 'a number from 0.5 to 0.99')
        """
        low, high = self.minimum, self.maximum
        if self.spacing > 1:
            first = ", ".join(f"{low + k * self.spacing:.10g}" for k in range(3))
            return f"{first} and so on to {high:.10g}"
        return f"a {'whole ' if self.spacing else ''}number from {low:.10g} to {high:.10g}"


PARAMETERS: Final = (
    Parameter("hde_compression_level", 1, 9, "none"),
    Parameter("hde_chunk_size_bytes", 1024, 65_536, "bytes"),
    Parameter("hde_window_size_bytes", 32_768, 1_048_576, "bytes"),
    Parameter("pba_prediction_window_s", 10, 300, "s", 0),
    Parameter("pba_confidence_threshold", 0.5, 0.99, "none", 0),
    Parameter("pba_update_frequency_s", 1, 60, "s", 0),
    Parameter("acp_timeout_ms", 100, 5000, "ms", 0),
    Parameter("acp_batch_size", 1, 100, "records"),
    Parameter("acp_quorum_size", 3, 15, "members", 2),
)
"""In the order of every array of parameters."""

SCOPE: Final = "fleet"
"""What requests are for; each partition answers for its nodes as `fleet/<partition>`."""

SCOPES: Final = rf"^{SCOPE}(/(0|[1-9][0-9]{{0,3}}))?$"
"""All partitions, or one: after rollouts they differ in what is in force."""

SYSTEMS: Final = {
    system: tuple(p.name for p in PARAMETERS if p.name.startswith(f"{system}_")) for system in ("hde", "pba", "acp")
}
"""Parameters by the system they tune; a system is tuned when all of its parameters in force are known."""

ROLLOUT_STAGES_PCT: Final = (5, 25, 50, 100)
SIGNIFICANCE_LEVEL: Final = 0.001
"""The p-value that each stage of a rollout must stay below."""

MAX_MEMORY_PCT: Final = 80.0
MAX_CPU_PCT: Final = 85.0
MAX_COST_INCREASE_PCT: Final = 10.0

OptimizerTrigger = Literal["operator", "performance", "traffic", "configuration", "age"]
OPTIMIZER_TRIGGERS: Final[tuple[str, ...]] = get_args(OptimizerTrigger)
"""Asked for, performance fell by more than 5 %, traffic or configuration changed, 30 days passed."""

Constraint = Literal["memory", "cpu", "cost_increase"]
RolloutStatus = Literal["running", "advanced", "completed", "rolled_back"]
StagePct = Annotated[int, Meta(ge=5, le=100, description="stage", extra_json_schema={"unit": "%"})]


class OptimizerRequest(Struct, frozen=True, gc=False):
    """Somebody, or a trigger, asks for better parameters.

    `current` has the parameters in force, by `ParameterName`; those left out are not tuned.
    """

    request_id: Identifier
    timestamp: TimestampMs
    scope: Identifier
    current: dict[str, float]
    trigger: OptimizerTrigger = "operator"
    max_memory_pct: Percent = MAX_MEMORY_PCT
    max_cpu_pct: Percent = MAX_CPU_PCT
    max_cost_increase_pct: Amount = MAX_COST_INCREASE_PCT
    requested_by: OptionalIdentifier = ""


def check_request(request: OptimizerRequest) -> None:
    """Check that a request can be answered.

    Raises
    ------
    ValidationError
        When its scope or a parameter is none, a value may not be set, or no system is named whole.
    """
    if not re.fullmatch(SCOPES, request.scope):
        asked = f"all partitions are {SCOPE!r}, one is '{SCOPE}/<its number>'"
        raise ValidationError("enum", f"scope is {request.scope!r}; {asked}")
    known = {p.name: p for p in PARAMETERS}
    for name, value in request.current.items():
        parameter = known.get(name)  # type: ignore[call-overload]
        if parameter is None:
            raise ValidationError("enum", f"no parameter {name!r}: they are {', '.join(known)}")
        if not parameter.allows(value):
            raise ValidationError("range", f"{name} is {value:.10g}; it is {parameter.allowed}")
    if not any(request.current.keys() >= set(names) for names in SYSTEMS.values()):
        systems = "; or ".join(", ".join(names) for names in SYSTEMS.values())
        raise ValidationError("cross_field", f"current names no system whole: give at least {systems}")


class ParameterChange(Struct, frozen=True, gc=False):
    """One parameter before and after, with its hard limits."""

    parameter: ParameterName
    unit: ParameterUnit
    before: float
    after: float
    minimum: float
    maximum: float
    sensitivity: float | None = None


class ConstraintCheck(Struct, frozen=True, gc=False):
    """One soft limit, and what is expected of it after the change."""

    constraint: Constraint
    limit: Percent
    expected: float
    satisfied: bool


class OptimizerRecommendation(Struct, frozen=True, gc=False):
    """Parameters that are expected to do better, by how much and how surely.

    `reward` is the improvement less the cost penalty. Hard limits hold always;
    `constraints` are the soft ones. `state` is what the optimizer saw of the partition, 35 numbers by name.
    """

    id: Identifier
    timestamp: TimestampMs
    request_id: OptionalIdentifier
    scope: Identifier
    trigger: OptimizerTrigger
    changes: list[ParameterChange]
    reward: float
    cost_penalty: Amount
    improvement_pct: float
    improvement_lower_pct: float
    improvement_upper_pct: float
    constraints: list[ConstraintCheck]
    confidence: Ratio
    valid_until: TargetTimeMs
    model_name: Identifier
    model_version: Identifier
    state: dict[str, float] | None = None
    context: dict[str, float] | None = None


class OptimizerRollout(Struct, frozen=True, gc=False):
    """Where the rollout of one recommendation stands: one record per change of stage or status.

    `advanced` ends a stage that passed its test, `completed` the last one; after
    `rolled_back` every node has `before` again.
    """

    id: Identifier
    timestamp: TimestampMs
    rollout_id: Identifier
    recommendation_id: Identifier
    scope: Identifier
    status: RolloutStatus
    stage_pct: StagePct
    stage_started_at: TimestampMs
    changes: list[ParameterChange]
    control_samples: Count
    treatment_samples: Count
    effect_pct: float | None
    effect_lower_pct: float | None
    effect_upper_pct: float | None
    p_value: Ratio | None
    significance_level: Ratio
    reason: str = ""
    cost_effect_pct: float | None = None
