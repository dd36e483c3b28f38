"""What an agent is: the topic it reads, the pure step it applies, the topics it publishes, the state it keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeGuard

from schemas.batch import Batch, Control, Result
from schemas.topic import INPUTS, Topic
from streams.metric import Gauges
from streams.snapshot import Pieces

Load = Callable[[bytes], Any]
"""Makes a verified model of an artifact's bytes; ModelError when it is none."""


class State(Protocol):
    """What an agent has per partition, and the pure step it applies."""

    def step(self, batch: Batch) -> Result:
        """Apply a batch: the records it yields, and the rows it rejects."""
        ...

    def gauges(self) -> Gauges:
        """What the state says of itself: by name, numerator and denominator."""
        ...


class KeptState(State, Protocol):
    """A state that outlives its worker; see `online_models.partition.PartitionState`."""

    def control(self, control: Control) -> Result:
        """Take a control in, between two batches."""
        ...

    def use(self, shelf: Any) -> None:
        """Take trained models from this shelf (`streams.shelf.Shelf`) from now on."""
        ...

    def wanted(self) -> list[str]:
        """Hashes of the trained models that it asks."""
        ...

    def __len__(self) -> int:
        """How many keys it knows."""
        ...

    @property
    def row_bytes(self) -> int:
        """Bytes of one key's state."""
        ...

    def renew(self) -> None:
        """Everything is due to be captured once more, a part at a time."""
        ...

    @property
    def renewed(self) -> bool:
        """What was captured since `renew` was called, this included, is everything."""
        ...

    def capture(self, *, whole: bool = False, renew_bytes: int = 0) -> Pieces:
        """What changed since the last capture, and some of what is due, or everything, as it is now."""
        ...

    def load(self, piece: bytes | memoryview) -> None:
        """Take a piece of a capture in, on top of those before it; StateError when it cannot be used."""
        ...

    def checkpoint(self, keys: Sequence[bytes | None]) -> Any:
        """What it takes to undo a step over records of these keys."""
        ...

    def rollback(self, undo: Any) -> None:
        """Undo the step that followed a checkpoint."""
        ...

    def digest(self) -> str:
        """Digest of everything."""
        ...


def is_kept(state: State) -> TypeGuard[KeptState]:
    """Whether a state can be written down and taken back in."""
    return hasattr(state, "capture") and hasattr(state, "load")


@dataclass(frozen=True, slots=True)
class Agent:
    """What an agent reads, applies and publishes, where its state is kept, which models and settings that wants."""

    name: str
    source: Topic
    state: Callable[..., State]
    publishes: tuple[Topic, ...]
    keeps: Topic | None = None
    models: Mapping[str, Load] = field(default_factory=dict)
    settings: tuple[str, ...] = ()

    def warm(self) -> None:
        """Compile what the step needs, where the state knows how."""
        warm = getattr(self.state, "warm", None)
        if warm is not None:
            warm()


def declare(
    name: str,
    *,
    source: Topic,
    state: Callable[..., State],
    publishes: tuple[Topic, ...],
    keeps: Topic | None = None,
    models: Mapping[str, Load] | None = None,
    settings: tuple[str, ...] = (),
) -> Agent:
    """An agent: one guarded loop with one state per partition of its source.

    Parameters
    ----------
    name
        What logs, metrics and headers call it.
    source
        What it reads.
    state
        Makes the state of a partition that has seen nothing; that of raw records may be given units.
    publishes
        Topics its results may name.
    keeps
        Where snapshots of its state go; without it, a state is as good as none and begins
        afresh with every assignment.
    models
        Trained models that its state asks, by name, and what makes one of an artifact's bytes.
    settings
        Settings that its state takes, under the same names.

    Raises
    ------
    TypeError
        When the source has no record type to decode, or the state cannot be kept.
    """
    if source.record is None:
        raise TypeError(f"agent {name!r} cannot read {source.name}: it has no record type")
    if keeps is not None and not is_kept(state()):
        raise TypeError(f"agent {name!r} cannot keep its state: it has no capture and load")
    return Agent(name, source, state, publishes, keeps, models or {}, settings)


def with_settings(agent: Agent, settings: Any) -> Agent:
    """An agent whose states have the settings that it declares; any other agent as it is."""
    if not agent.settings:
        return agent
    return replace(agent, state=_Given(agent.state, {name: getattr(settings, name) for name in agent.settings}))


class _Given:
    """Makes states with options; compiles as before."""

    def __init__(self, state: Callable[..., State], options: Mapping[str, Any]) -> None:
        self._state, self._options = state, options

    def __call__(self) -> State:
        return self._state(**self._options)

    def warm(self) -> None:
        warm = getattr(self._state, "warm", None)
        if warm is not None:
            warm()


def with_units(agent: Agent, units: Mapping[str, str]) -> Agent:
    """An agent of raw records that takes their undeclared units for these; any other agent as it is.

    Raises
    ------
    ConfigError
        When one of them cannot be.
    """
    if agent.source not in INPUTS or not units:
        return agent
    configured = replace(agent, state=_Given(agent.state, {"units": units}))
    configured.state()
    return configured


def agents_by_name(agents: Sequence[Agent]) -> Mapping[str, Agent]:
    """Agents by name.

    Raises
    ------
    ValueError
        When two have one name or read one topic.
    """
    by_name = {agent.name: agent for agent in agents}
    if len(by_name) < len(agents) or len({agent.source for agent in agents}) < len(agents):
        raise ValueError("two agents have the same name or read the same topic")
    return by_name
