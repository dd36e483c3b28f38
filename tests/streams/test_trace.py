"""A trace goes from an input to all that follows from it, through the keyed hop and controls; spans link to it."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any, ClassVar

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agents import ingest, network, side, system
from schemas import header
from schemas.error import ConfigError
from schemas.header import Headers
from schemas.topic import (
    DEAD_LETTER,
    NETWORK_FEATURES,
    NETWORK_FORECAST,
    NETWORK_KEYED,
    NETWORK_RAW,
    OPTIMIZER_REQUEST,
    SYSTEM_KEYED,
    SYSTEM_SCORE,
)
from streams.chunk import Chunk
from streams.recording.format import Recorded
from streams.recording.run import run
from streams.settings import Settings
from streams.span import Spans, open_spans
from streams.trace import context_of, trace_headers, trace_of_request, traces
from tests.streams.test_runner import Bench, value

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


def parent(number: int = 1) -> bytes:
    return f"00-{TRACE_ID}-{number:016x}-01".encode()


class Sent:
    def __init__(self, *headers: tuple[str, bytes | None]) -> None:
        self.headers = headers


@pytest.mark.parametrize(
    ("sent", "valid"),
    [
        (parent(), True),
        (parent()[:-1], False),
        (parent() + b"-more", False),
        (b"01" + parent()[2:], True),
        (b"01" + parent()[2:] + b"-more", True),
        (b"01" + parent()[2:] + b"more", False),
        (b"01" + parent()[2:] + b"-" + b"x" * 500, False),
        (b"ff" + parent()[2:], False),
        (parent().upper(), False),
        (b"00-" + b"0" * 32 + b"-00f067aa0ba902b7-01", False),
        (f"00-{TRACE_ID}-{'0' * 16}-01".encode(), False),
        (b"", False),
        (None, False),
        (b"\xff" * 55, False),
    ],
)
def test_only_a_valid_context_is_handed_on(sent: bytes | None, valid: bool) -> None:
    assert (context_of(sent) is not None) is valid
    assert trace_headers([("a", b"1"), ("traceparent", sent)]) == ([("traceparent", sent)] if valid else [])


@pytest.mark.parametrize(
    ("state", "kept"), [(b"vendor=1", True), (b"x" * 512, True), (b"x" * 513, False), (b"", False), (None, False)]
)
def test_the_state_goes_with_it_and_never_alone(state: bytes | None, kept: bool) -> None:
    own = ("tracestate", state)
    assert trace_headers([own, ("traceparent", parent())])[1:] == ([own] if kept else [])
    assert trace_headers([own]) == []


def test_two_parents_are_none() -> None:
    assert trace_headers([("traceparent", parent(1)), ("traceparent", parent(2))]) == []


def test_a_request_has_its_trace() -> None:
    assert trace_of_request({"traceparent": parent().decode()}) == [("traceparent", parent())]
    assert trace_of_request({"tracestate": "a=1"}) == []


def test_nothing_is_made_where_no_record_has_a_trace() -> None:
    assert traces([Sent(), Sent(("a", b"1")), Sent((header.ORIGIN, b"o"), (header.CE_ID, b"i"))]) is None
    found = traces([Sent(), Sent(("a", b"1"), ("traceparent", parent())), Sent((header.ORIGIN, b"o"))])
    assert found == [[], [("traceparent", parent())], []]


def test_a_trace_is_found_behind_the_origin_and_wherever_it_stands_without_one() -> None:
    ours = Sent((header.ORIGIN, b"o"), ("traceparent", parent(1)), (header.CE_ID, b"i"))
    replayed = Sent((header.CE_ID, b"i"), (header.REPLAYED_FROM, b"x"), ("traceparent", parent(2)))
    assert traces([ours, replayed]) == [[("traceparent", parent(1))], [("traceparent", parent(2))]]


def sample(minute: int, *headers: tuple[str, bytes | None], body: bytes | None = None) -> Recorded:
    at = 1_767_571_200_000 + 60_000 * minute
    said = {"timestamp": at, "node_id": "a", "peer_id": "b", "bandwidth_mbps": 100.0, "latency_ms": 9.0,
            "packet_loss": 0.0, "jitter_ms": 1.0, "time_of_day": 0, "day_of_week": 1}  # fmt: skip
    return Recorded(NETWORK_RAW.name, 0, minute, at, None, body or json.dumps(said).encode(), headers)


def with_trace(records: Sequence[Any]) -> list[tuple[bytes | None, bytes | None]]:
    """Traces of records that have one, with their states."""
    found = [dict(record.headers) for record in records]
    return [(one["traceparent"], one.get("tracestate")) for one in found if "traceparent" in one]


def test_what_an_input_leads_to_has_its_trace_through_the_keyed_hop() -> None:
    traced: Headers = [("own", b"x"), ("traceparent", parent(7)), ("tracestate", b"v=1")]
    records = [sample(m, *(traced if m == 6 else [("traceparent", b"junk")])) for m in range(8)]
    records.append(sample(8, *traced, body=b"{"))
    answers = run([*ingest.agents, network.agent], records)
    for topic in (NETWORK_KEYED, NETWORK_FEATURES, NETWORK_FORECAST):
        assert with_trace(answers[topic]) == [(parent(7), b"v=1")], topic.name
        assert all(record.headers[0][0] == header.ORIGIN for record in answers[topic])
        (one,) = [r for r in answers[topic] if "traceparent" in dict(r.headers)]
        assert dict(one.headers)[header.ORIGIN].endswith(b"/6")
        assert dict(one.headers).keys() >= {header.CE_ID, header.CE_TIME, header.CONTENT_TYPE}
    assert (parent(7), b"v=1") in with_trace(answers[DEAD_LETTER])


def test_a_control_has_the_trace_of_who_asked() -> None:
    current = {"acp_timeout_ms": 2000, "acp_batch_size": 25, "acp_quorum_size": 7}
    body = json.dumps({"request_id": "r", "timestamp": 1, "scope": "fleet", "current": current}).encode()
    asked = Recorded(OPTIMIZER_REQUEST.name, 0, 0, 1, None, body, (("traceparent", parent(3)),))
    answers = run([*side.agents, system.agent], [asked])
    assert with_trace(answers[SYSTEM_KEYED]) == [(parent(3), None)] * SYSTEM_KEYED.partitions


def chunk(bench: Bench, *headers: Sequence[tuple[str, bytes | None]]) -> Chunk:
    made = bench.chunk(0, [value(20 + at) for at in range(len(headers))])
    records = [
        record.__class__(**{**vars(record), "headers": ((header.ORIGIN, b"raw/1/%d" % at), *own)})
        for at, (record, own) in enumerate(zip(made.records, headers, strict=True))
    ]
    return Chunk(made.tp, records, made.span)


def test_the_worker_s_loop_hands_traces_on_row_by_row() -> None:
    bench = Bench()
    bench.process(chunk(bench, [], [("traceparent", parent(1))], [("traceparent", b"junk")]))
    out = [headers for _, _, headers in bench.out[SYSTEM_SCORE.name]]
    assert [one.get("traceparent") for one in out] == [None, parent(1), None]


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


def traced_bench(exporter: InMemorySpanExporter) -> Bench:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    bench = Bench()
    bench.runner._spans = Spans(provider, "group")
    return bench


def test_a_batch_is_one_span_with_a_link_to_each_trace(exporter: InMemorySpanExporter) -> None:
    bench = traced_bench(exporter)
    bench.process(
        chunk(bench, [], [("traceparent", parent(1))], [("traceparent", parent(1))], [("traceparent", parent(2))])
    )
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.kind.name) == (f"process {SYSTEM_KEYED.name}", "CONSUMER")
    assert [link.context.span_id for link in span.links] == [1, 2]
    assert {f"{link.context.trace_id:032x}" for link in span.links} == {TRACE_ID}
    assert dict(span.attributes or {}) == {
        "messaging.system": "kafka", "messaging.operation.name": "process", "messaging.operation.type": "process",
        "messaging.destination.name": SYSTEM_KEYED.name, "messaging.destination.partition.id": "0",
        "messaging.consumer.group.name": "group", "messaging.kafka.offset": 0, "messaging.batch.message_count": 4,
        "dwcp.agent": "counting", "dwcp.traces": 2,
    }  # fmt: skip


def test_a_batch_without_traces_is_a_span_without_links(exporter: InMemorySpanExporter) -> None:
    bench = traced_bench(exporter)
    bench.process(chunk(bench, [], []))
    (span,) = exporter.get_finished_spans()
    assert list(span.links) == []


def test_many_traces_are_linked_as_far_as_opentelemetry_goes(exporter: InMemorySpanExporter) -> None:
    bench = traced_bench(exporter)
    bench.process(chunk(bench, *[[("traceparent", parent(1 + at))] for at in range(200)]))
    (span,) = exporter.get_finished_spans()
    assert [link.context.span_id for link in span.links] == list(range(1, 129))
    assert (span.attributes or {})["dwcp.traces"] == 200


def test_a_batch_that_is_cancelled_ends_its_span(exporter: InMemorySpanExporter) -> None:
    bench = traced_bench(exporter)

    async def publish(*_: Any, **__: Any) -> None:
        raise asyncio.CancelledError

    bench.runner._outlet._publish = publish  # type: ignore[assignment]
    with pytest.raises(asyncio.CancelledError):
        bench.process(chunk(bench, []))
    spans: Sequence[ReadableSpan] = exporter.get_finished_spans()
    assert len(spans) == 1


def test_nothing_is_exported_by_default() -> None:
    assert open_spans(Settings.from_environment({})) is None


class Collector(BaseHTTPRequestHandler):
    """Takes spans over OTLP."""

    taken: ClassVar[list[ExportTraceServiceRequest]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        self.taken.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def test_spans_reach_a_collector_over_otlp(monkeypatch: pytest.MonkeyPatch) -> None:
    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        spans = open_spans(Settings.from_environment({"DWCP_TRACE_EXPORTER": "otlp", "DWCP_INSTANCE_ID": "w-1"}))
        assert spans is not None
        with spans.over("a", [Bench().chunk(0, [value(1)])], [[("traceparent", parent(9))]]):
            pass
        spans.close()
        server.shutdown()
    ((resource,),) = (request.resource_spans for request in Collector.taken)
    about = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert (about["service.name"], about["service.instance.id"]) == ("dwcp-streams", "w-1")
    (span,) = resource.scope_spans[0].spans
    assert [link.trace_id.hex() for link in span.links] == [TRACE_ID]


def test_an_exporter_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"DWCP_TRACE_EXPORTER='nobody'.*console") as raised:
        open_spans(Settings.from_environment({"DWCP_TRACE_EXPORTER": "nobody"}))
    assert raised.value.exit_code == 78


def test_without_the_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigError, match=r"dwcp-streams\[trace\]"):
        open_spans(Settings.from_environment({"DWCP_TRACE_EXPORTER": "otlp"}))


def test_a_collector_that_does_not_answer_holds_up_no_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    spans = open_spans(Settings.from_environment({"DWCP_TRACE_EXPORTER": "otlp"}))
    assert spans is not None
    with spans.over("a", [Bench().chunk(0, [value(1)])], None):
        pass
    started = time.monotonic()
    spans.close()
    assert time.monotonic() - started < 3
