"""Field types with unit, range and meaning, shared by every record.

A type states its constraint once: the codec enforces it on decode, ingest checks
it on columns, and the generated schemas carry it to producers and consumers.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, get_args

from msgspec import Meta


def _meta(description: str, unit: str, **limits: Any) -> Any:
    return Meta(description=description, extra_json_schema={"unit": unit}, **limits)


MAX_MS: Final = 3.6e6
"""Upper bound of any duration in telemetry: one hour, in ms. More is a unit error."""

LinkType = Literal["dc", "metro", "wan", "edge"]
PayloadType = Literal["vm_memory", "disk_block", "file", "stream"]
DwcpMode = Literal["standard", "turbo", "reliable"]
TransportType = Literal["tcp", "udp", "quic"]
Algorithm = Literal["HDE", "AMST"]

LINK_TYPES: Final[tuple[str, ...]] = get_args(LinkType)
PAYLOAD_TYPES: Final[tuple[str, ...]] = get_args(PayloadType)
DWCP_MODES: Final[tuple[str, ...]] = get_args(DwcpMode)
TRANSPORT_TYPES: Final[tuple[str, ...]] = get_args(TransportType)
ALGORITHMS: Final[tuple[str, ...]] = get_args(Algorithm)
"""Index is the class label: HDE 0, AMST 1."""

TimestampMs = Annotated[int, _meta("event time, UTC", "ms since epoch", ge=0, le=4_102_444_800_000)]
TargetTimeMs = Annotated[int, _meta("time ahead of an event, UTC", "ms since epoch", ge=0, le=4_102_531_200_000)]
HorizonMs = Annotated[int, _meta("how far ahead", "ms", gt=0, le=1_728_000_000)]
Identifier = Annotated[str, Meta(min_length=1, max_length=256, description="opaque identifier")]
OptionalIdentifier = Annotated[str, Meta(max_length=256, description="opaque identifier, empty when unknown")]
Tier = Annotated[int, _meta("network tier, 1 is best", "", ge=1, le=3)]
Mbps = Annotated[float, _meta("rate", "Mbps (1e6 bit/s)", ge=0, le=1e7)]
PositiveMbps = Annotated[float, _meta("rate", "Mbps (1e6 bit/s)", gt=0, le=1e7)]
DurationMs = Annotated[float, _meta("duration", "ms", ge=0, le=MAX_MS)]
Percent = Annotated[float, _meta("share", "%", ge=0, le=100)]
Ratio = Annotated[float, _meta("ratio", "1", ge=0, le=1)]
Entropy = Annotated[float, _meta("Shannon entropy of the payload", "bits/byte", ge=0, le=8)]
CompressionRatio = Annotated[float, _meta("original size / compressed size", "1", gt=0, le=1e6)]
Bytes = Annotated[int, _meta("size", "bytes", ge=0, le=1 << 50)]
PositiveBytes = Annotated[int, _meta("size", "bytes", gt=0, le=1 << 50)]
Count = Annotated[int, _meta("count", "", ge=0, le=1 << 40)]
PositiveCount = Annotated[int, _meta("count", "", gt=0, le=1 << 40)]
Amount = Annotated[float, _meta("non-negative amount", "", ge=0, le=1e15)]
