"""Kinds of settings: how the text of an environment variable is read, and how its value is shown.

What cannot be read is a `ConfigError` that names the variable and says what is allowed.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from schemas.error import ConfigError
from schemas.field import LINK_TYPES
from schemas.network import HORIZON_MS
from schemas.quantity import parse_units

TOPIC_NAME: Final = r"[A-Za-z0-9._-]{1,249}"
HIDDEN: Final = "*****"

_DATABASE_URL: Final = re.compile(r"postgres(?:ql)?://\S+")
_LEAST_SECRET: Final = 16
_HORIZONS: Final = 8

Parse = Callable[[str, str], Any]
"""Turns (variable name, text) into a value, or raises ConfigError."""


def masked(text: str) -> str:
    """A text that may be a URL, without the password in it.

    >>> masked("postgresql://me:se/cr@et@db.example:5432/dwcp?sslmode=require&password=x")
    'postgresql://me:*****@db.example:5432/dwcp?sslmode=require&password=*****'
    """
    text = re.sub(r"(\w+://[^:@/?#\s]*):.*@", r"\1:*****@", text)
    return re.sub(r"(?i)(passw\w*=)[^&\s]*", r"\1*****", text)


def shown(value: Any) -> str:
    """A value as a user would write it, without the password of a URL."""
    if isinstance(value, Mapping):
        return ",".join(f"{name}={unit}" for name, unit in value.items())
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return masked(f"{value:g}" if isinstance(value, float) else str(value))


def hidden(value: str) -> str:
    """That there is a value, and no more."""
    return HIDDEN if value else ""


class Kind(NamedTuple):
    """How a setting is read, and shown."""

    parse: Parse
    show: Callable[[Any], str] = shown


def number(kind: Callable[[str], Any], low: float, high: float, unit: str = "") -> Kind:
    """A number within bounds, both allowed."""

    def parse(name: str, text: str) -> Any:
        allowed = f"{'a whole number' if kind is int else 'a number'} from {low:g} to {high:g} {unit}".rstrip()
        try:
            value = kind(text)
        except ValueError:
            raise ConfigError(name, text, allowed) from None
        if not (math.isfinite(value) and low <= value <= high):
            raise ConfigError(name, text, allowed)
        return value

    return Kind(parse)


def matching(pattern: str, allowed: str) -> Kind:
    """Text that a pattern describes as a whole."""
    known = re.compile(pattern)

    def parse(name: str, text: str) -> str:
        if not known.fullmatch(text):
            raise ConfigError(name, text, allowed)
        return text

    return Kind(parse)


def choice(*options: str) -> Kind:
    """One of some words, in capitals or not."""

    def parse(name: str, text: str) -> str:
        if text.lower() not in options:
            raise ConfigError(name, text, "one of " + ", ".join(options))
        return text.lower()

    return Kind(parse)


def _addresses(name: str, text: str) -> tuple[str, ...]:
    """Addresses `host:port`; schemes are optional, `,` and `;` both separate."""
    allowed = "kafka://host:port, several separated by ',' or ';'"
    addresses = []
    for part in re.split("[,;]", text):
        match = re.fullmatch(r"(?:kafka://)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})/?", part.strip())
        if match is None or not 0 < int(match[2]) < 65536:
            raise ConfigError(name, text, allowed)
        addresses.append(f"{match[1]}:{match[2]}")
    return tuple(addresses)


def _horizons(name: str, text: str) -> tuple[int, ...]:
    """Milliseconds, shortest first."""
    allowed = (
        f"up to {_HORIZONS} different ones from 1min to 24h, whole minutes, separated by ','; 15min is always there"
    )
    found = set()
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"([1-9]\d{0,3})(min|h)", part)
        ms = int(match[1]) * (60_000 if match[2] == "min" else 3_600_000) if match else 0
        if not 0 < ms <= 86_400_000 or ms == HORIZON_MS or ms in found:
            raise ConfigError(name, text, allowed)
        found.add(ms)
    if len(found) > _HORIZONS:
        raise ConfigError(name, text, allowed)
    return tuple(sorted(found))


def _factors(name: str, text: str) -> tuple[float, ...]:
    """A factor for each link type, in the order of `LINK_TYPES`."""
    allowed = f"TYPE=FACTOR of {', '.join(LINK_TYPES)}, each once, 0.01 to 10, separated by ','"
    found = dict.fromkeys(LINK_TYPES, 1.0)
    said = [part.strip().partition("=") for part in text.split(",") if part.strip()]
    for kind, _, value in said:
        if kind not in found or not re.fullmatch(r"\d*\.?\d+", value) or not 0.01 <= float(value) <= 10.0:
            raise ConfigError(name, text, allowed)
        found[kind] = float(value)
    if len({kind for kind, _, _ in said}) < len(said):
        raise ConfigError(name, text, allowed)
    return tuple(found.values())


def _readable(name: str, text: str) -> str:
    if text and not os.access(text, os.R_OK):
        raise ConfigError(name, text, "a file that can be read, or empty")
    return text


def _secret(name: str, text: str) -> str:
    if 0 < len(text) < _LEAST_SECRET:
        raise ConfigError(name, HIDDEN, f"at least {_LEAST_SECRET} characters, or empty")
    return text


def _login(name: str, text: str) -> str:
    if text and not re.fullmatch(r"[^:]+:.+", text):
        raise ConfigError(name, HIDDEN, "user:password, or empty")
    return text


def _database(name: str, text: str) -> str:
    if text and not _DATABASE_URL.fullmatch(text):
        safe = masked(text) if "://" in text else HIDDEN
        raise ConfigError(name, safe, "postgresql://user:password@host:port/name, or empty")
    return text


def _kinds(name: str, text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found or not all(re.fullmatch(TOPIC_NAME, part) for part in found):
        raise ConfigError(name, text, "kinds of topics, separated by ','")
    return found


def _any(_: str, text: str) -> str:
    return text


def _written(horizons_ms: tuple[int, ...]) -> str:
    return ",".join(f"{ms // 60_000}min" for ms in horizons_ms)


def _changed(factors: tuple[float, ...]) -> str:
    return ",".join(f"{kind}={one:g}" for kind, one in zip(LINK_TYPES, factors, strict=True) if one != 1.0)


BROKERS: Final = Kind(_addresses)
TEXT: Final = Kind(_any)
FILE: Final = Kind(_readable)
PASSWORD: Final = Kind(_any, hidden)
SECRET: Final = Kind(_secret, hidden)
LOGIN: Final = Kind(_login, hidden)
DATABASE: Final = Kind(_database)
TOPIC_KINDS: Final = Kind(_kinds)
UNITS: Final = Kind(lambda _, text: parse_units(text))
HORIZONS: Final = Kind(_horizons, _written)
FACTORS: Final = Kind(_factors, _changed)
