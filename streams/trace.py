"""W3C trace context: whoever sent an input finds its trace again on everything that followed from it.

`traceparent` and `tracestate` are handed on as they came, through the keyed hop and
through controls too. A context that is none is left out, as the specification says:
https://www.w3.org/TR/trace-context/.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from schemas.header import ORIGIN, TRACEPARENT, TRACESTATE, Headers

_PARENT: Final = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
)
_VERSION_0: Final = b"00"
_STATE_MAX: Final = 512
"""Bytes of `tracestate` that must be handed on; what is longer is left out."""

_NONE: Final[Headers] = []


class Context(NamedTuple):
    """The ids in a `traceparent`."""

    trace_id: int
    span_id: int
    flags: int


def traces(records: Sequence[Any]) -> list[Headers] | None:
    """Trace headers of each record, a list per record; None when no record has any, which costs least.

    Ours stand right behind the origin, where they are looked for first.
    """
    found: list[Headers] | None = None
    for at, record in enumerate(records):
        headers = record.headers
        if not headers or (headers[0][0] == ORIGIN and (len(headers) < 2 or headers[1][0] != TRACEPARENT)):
            continue
        if own := trace_headers(headers):
            found = found or [_NONE] * len(records)
            found[at] = own
    return found


def trace_headers(headers: Sequence[tuple[str, bytes | None]]) -> Headers:
    """The trace context among a record's headers; empty when there is none, or one that is not valid.

    >>> trace_headers([("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("other", b"1")])
    [('traceparent', b'00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01')]
    >>> trace_headers([("traceparent", b"00-0-0-00"), ("tracestate", b"a=1")])
    []
    """
    found: Headers = []
    states: Headers = []
    for one in headers:
        name, value = one
        if name == TRACEPARENT:
            found.append(one)
        elif name == TRACESTATE and value and len(value) <= _STATE_MAX:
            states.append(one)
    if len(found) != 1 or _match(found[0][1]) is None:
        return []
    return found + states if states else found


def trace_of_request(headers: Mapping[str, str]) -> Headers:
    """The trace context of an HTTP request."""
    sent = [(name, headers[name].encode("utf-8", "replace")) for name in (TRACEPARENT, TRACESTATE) if name in headers]
    return trace_headers(sent)


def context_of(parent: bytes | None) -> Context | None:
    """The ids in a `traceparent`; None when it is not valid."""
    match = _match(parent)
    return None if match is None else Context(*(int(match[name], 16) for name in ("trace", "span", "flags")))


def _match(parent: bytes | None) -> re.Match[bytes] | None:
    """A later version than 00 may say more behind a hyphen; what is longer than twice version 00 is none."""
    match = _PARENT.match(parent or b"")
    if match is None or parent is None or len(parent) == match.end():
        return match
    more = match[1] != _VERSION_0 and parent[match.end() : match.end() + 1] == b"-"
    return match if more and len(parent) <= 2 * match.end() else None
