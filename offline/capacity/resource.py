"""What a resource is: its levels, its unit, what all of it is, and what more of it costs."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from schemas.capacity import BUFFER_PCT, THRESHOLDS, CapacityUnit
from schemas.error import ConfigError


class Resource(Struct, frozen=True, forbid_unknown_fields=True):
    """One resource of a scope.

    Parameters
    ----------
    warning, critical
        Levels, in percent of what there is, or ms.
    unit
        Unit of the levels.
    columns
        Names of columns that hold it.
    full
        What a column shows when all is in use: values are made percent of it. Nothing is converted for ms.
    size, size_unit
        How much of it the scope has; None where nobody said.
    unit_cost
        Cost of one more `size_unit`.
    """

    warning: float | None = None
    critical: float | None = None
    unit: CapacityUnit = "percent"
    columns: tuple[str, ...] = ()
    full: float | None = 100.0
    size: float | None = None
    size_unit: str = ""
    unit_cost: float = 0.0


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """What `--config` may say: resources by name, and how plans are made."""

    resource: dict[str, dict[str, object]] = {}
    buffer_pct: float = BUFFER_PCT
    cost_unit: str = "USD/month"
    lead_days: float = 14.0
    divergence_pct: float = 15.0


def _known(name: str, columns: tuple[str, ...], **more: object) -> Resource:
    warning, critical = THRESHOLDS.get(name, (None, None))
    return msgspec.convert({"warning": warning, "critical": critical, "columns": columns} | more, Resource)


RESOURCES: Final[Mapping[str, Resource]] = {
    "cpu": _known("cpu", ("cpu_usage",), size_unit="cores", unit_cost=50.0),
    "memory": _known("memory", ("memory_usage",), size_unit="GB", unit_cost=20.0),
    "network": _known("network", ("network_bandwidth",), full=None, size_unit="Gbps", unit_cost=100.0),
    "storage": _known("storage", ("disk_usage",), size_unit="GB", unit_cost=0.1),
    "request_rate": _known("request_rate", ("request_rate",), full=None, warning=75.0, critical=85.0),
    "latency": _known("latency", ("latency_p95", "latency_mean"), unit="ms"),
}
"""By name. What is in Gbps or requests has no `full`: how much that is nobody knows but you."""


def read_settings(path: Path | None) -> tuple[Settings, dict[str, Resource]]:
    """Resources and plan settings; those of the file add to the known ones or change them field by field.

    Raises
    ------
    ConfigError
        When the file cannot be read or says something that is not a setting.
    """
    if path is None:
        return Settings(), dict(RESOURCES)
    try:
        settings = msgspec.convert(tomllib.loads(path.read_text("utf-8")), Settings)
        found = dict(RESOURCES)
        for name, said in settings.resource.items():
            base = msgspec.to_builtins(RESOURCES.get(name, Resource()))
            found[name] = msgspec.convert(base | said, Resource)
    except (OSError, tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as exc:
        fields = ", ".join(Resource.__struct_fields__)
        raise ConfigError(
            "--config", str(path), f"a TOML file with [resource.NAME] tables of {fields} ({exc})"
        ) from exc
    return settings, found


def usable(name: str, resource: Resource) -> Resource:
    """The resource, if it can be planned for.

    Raises
    ------
    ConfigError
        When a level is missing or they are not in order, or nobody said how much `full` is.
    """
    if resource.warning is None or resource.critical is None or not 0 < resource.warning < resource.critical:
        said = f"warning {resource.warning}, critical {resource.critical}"
        raise ConfigError("--resource", name, f"a resource with 0 < warning < critical; it has {said}: "
                          "say --warning and --critical, or write them under [resource.NAME] in --config")  # fmt: skip
    if resource.unit == "percent" and not (resource.full and resource.full > 0):
        raise ConfigError("--resource", name, "a resource of known size: say with --full what its column shows when "
                          "all is in use, or write `full` under [resource.NAME] in --config")  # fmt: skip
    return resource
