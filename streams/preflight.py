"""What is checked before a worker starts, so that it starts whole or says why not."""

from __future__ import annotations

import socket
from typing import Any

from schemas.error import ConfigError, InfraError
from schemas.topic import IN_USE, KEYED, STATES
from streams.settings import Settings, variable_of
from streams.topic import admin, partition_counts

_ANSWER_S = 5.0


def check_broker(settings: Settings) -> dict[str, int]:
    """The broker answers, every topic in use exists, and co-partitioned topics agree.

    Returns
    -------
    Partitions of every topic on the broker, by name.

    Raises
    ------
    InfraError
        No broker answers, or topics are missing.
    ConfigError
        Topics that are joined by key have different numbers of partitions.
    """
    counts = partition_counts(admin(settings), settings, _ANSWER_S)
    missing = [settings.name_of(topic) for topic in IN_USE if settings.name_of(topic) not in counts]
    if missing:
        raise InfraError(
            f"{len(missing)} of {len(IN_USE)} topics are missing on {settings.bootstrap} "
            f"({', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}): run `dwcp topics apply`"
        )
    first = settings.name_of(STATES[0])
    want = counts[first]
    for topic in (*STATES, *KEYED):
        found = counts[settings.name_of(topic)]
        if found != want:
            # More partitions would send a key's records to another partition than its history and state.
            allowed = (
                f"{first} has {want} partitions, and keyed and state topics must have the same number for ever: "
                "make new topics under other names (DWCP_TOPIC_*), and replay the raw ones"
            )
            raise ConfigError(variable_of(topic), f"{settings.name_of(topic)} with {found} partitions", allowed)
    return counts


def check_port(host: str, port: int) -> None:
    """The web port can be listened on.

    Raises
    ------
    ConfigError
        Naming `DWCP_WEB_PORT` or `DWCP_WEB_HOST` and the reason.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as exc:
        raise ConfigError("DWCP_WEB_HOST", host, f"an address of this machine ({exc.strerror})") from exc
    for family, _, _, _, address in addresses:
        if reason := bind_refusal(address, family):
            allowed = f"a port that is free on {host} ({reason}): stop what listens there, or choose another"
            raise ConfigError("DWCP_WEB_PORT", port, allowed)


def bind_refusal(address: Any, family: socket.AddressFamily = socket.AF_INET) -> str | None:
    """Why a TCP address cannot be listened on; None when it can."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as exc:
            return exc.strerror or str(exc)
    return None
