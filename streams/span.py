"""OpenTelemetry, where somebody wants it: a span per round of batches, linked to the traces of its records.

A batch belongs to many traces, so it is a span of its own. Outputs keep their inputs'
`traceparent`: the links say which batch they went through. `DWCP_TRACE_EXPORTER` names
an installed exporter; the rest is said by OpenTelemetry's own variables (`OTEL_*`).
Attributes are those of its conventions for messaging.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from threading import Thread
from typing import TYPE_CHECKING, Final

from schemas.error import ConfigError
from schemas.header import Headers
from streams.chunk import Chunk
from streams.settings import Settings
from streams.trace import Context, context_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

OFF: Final = "none"

_VARIABLE: Final = "DWCP_TRACE_EXPORTER"
_GROUP: Final = "opentelemetry_traces_exporter"
_LAST_S: Final = 2.0
_LINKS_MAX: Final = 128
"""What OpenTelemetry keeps of a span's links by default."""


class Spans:
    """Spans of the batches of one worker.

    Parameters
    ----------
    provider
        What makes and exports them.
    group
        The consumer group.
    """

    def __init__(self, provider: TracerProvider, group: str) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("dwcp-streams")
        self._group = group

    @contextmanager
    def over(self, agent: str, chunks: Sequence[Chunk], found: Sequence[Headers] | None) -> Iterator[None]:
        """A span around the processing of a batch.

        Parameters
        ----------
        agent
            Who processes it.
        chunks
            What is processed together, one chunk a partition.
        found
            Trace headers of each record, or None.
        """
        from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags

        contexts = _contexts(found)
        links = [
            Link(SpanContext(one.trace_id, one.span_id, is_remote=True, trace_flags=TraceFlags(one.flags)))
            for one in contexts[:_LINKS_MAX]
        ]
        attributes = {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": chunks[0].tp.topic,
            "messaging.consumer.group.name": self._group,
            "messaging.batch.message_count": sum(map(len, chunks)),
            "dwcp.agent": agent,
            "dwcp.traces": len(contexts),
        }
        if len(chunks) == 1:
            attributes["messaging.destination.partition.id"] = str(chunks[0].tp.partition)
            attributes["messaging.kafka.offset"] = chunks[0].span.first
        name = f"process {chunks[0].tp.topic}"
        with self._tracer.start_as_current_span(name, kind=SpanKind.CONSUMER, attributes=attributes, links=links):
            yield

    def close(self) -> None:
        """Export what is left; a collector that does not answer holds up no stop for longer than 2 s."""
        last = Thread(target=self._provider.shutdown, name="spans", daemon=True)
        last.start()
        last.join(_LAST_S)


def open_spans(settings: Settings) -> Spans | None:
    """What the settings ask for; None when that is nothing.

    Raises
    ------
    ConfigError
        When the packages, or the exporter, are not installed, or it cannot be set up.
    """
    name = settings.trace_exporter
    if name == OFF:
        return None
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ConfigError(_VARIABLE, name, f"{OFF}, or first `pip install 'dwcp-streams[trace]'`") from None
    exporters = {point.name: point for point in entry_points(group=_GROUP)}
    wanted = "otlp_proto_http" if name == "otlp" and "otlp" not in exporters else name
    if wanted not in exporters:
        raise ConfigError(_VARIABLE, name, f"{OFF}, or an installed exporter: {', '.join(sorted(exporters))}")
    try:
        exporter = exporters[wanted].load()()
    except Exception as exc:  # an exporter is anybody's code, configured by anybody's variables
        raise ConfigError(_VARIABLE, name, f"an exporter that its OTEL_* variables set up ({exc})") from exc
    service = {
        "service.name": os.environ.get("OTEL_SERVICE_NAME") or settings.app_id,
        **({"service.instance.id": settings.instance_id} if settings.instance_id else {}),
    }
    provider = TracerProvider(resource=Resource.create(service), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Spans(provider, settings.app_id)


def _contexts(found: Sequence[Headers] | None) -> list[Context]:
    """The traces of a batch, each once, in their order."""
    parents = dict.fromkeys(own[0][1] for own in found or () if own)
    return [context for parent in parents if (context := context_of(parent)) is not None]
