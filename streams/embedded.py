"""The embedded broker: librdkafka's mock cluster, for trying and testing only.

Real Kafka protocol over TCP, in this process and in memory, up in milliseconds; no
Java, no Docker. It keeps at most 5 MB (as sent) or 100,000 batches per partition and
drops the oldest beyond that, consumed or not; it does not compact and cannot create
topics by request (though it makes one up when a producer names it), so the whole
table is made at the start. A group of more than one worker may not come together:
it refuses a follower that synchronises after its leader. Everything is gone when it
stops.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from ctypes import POINTER, c_char_p, c_int, c_int16, c_int32, c_size_t, c_void_p
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Final

import confluent_kafka

from schemas.error import InfraError
from schemas.topic import TOPICS, Topic
from streams.settings import Settings

PRODUCE: Final = 0
"""A Kafka API key, for `EmbeddedBroker.fail`."""

_PRODUCER: Final = 0
_ERROR_BYTES: Final = 512


@cache
def _library() -> ctypes.CDLL:
    """The librdkafka that the confluent-kafka wheel loaded, with its mock functions typed."""
    package = Path(confluent_kafka.__file__).parent
    maps = Path("/proc/self/maps")  # Linux: whichever copy is in use
    lines = maps.read_text().splitlines() if maps.exists() else []
    loaded = {line.split()[-1] for line in lines if "librdkafka" in line}
    beside = [*(package.parent / "confluent_kafka.libs").glob("librdkafka*"), *package.glob(".dylibs/librdkafka*")]
    for path in [*sorted(loaded), *map(str, beside)]:
        library = ctypes.CDLL(path)
        if hasattr(library, "rd_kafka_mock_cluster_new"):
            return _typed(library)
    raise InfraError("this confluent-kafka has no mock cluster: install its wheel from the package index")


def _typed(library: ctypes.CDLL) -> ctypes.CDLL:
    signatures: dict[str, tuple[object, Sequence[object]]] = {
        "rd_kafka_conf_new": (c_void_p, ()),
        "rd_kafka_conf_set": (c_int, (c_void_p, c_char_p, c_char_p, c_char_p, c_size_t)),
        "rd_kafka_new": (c_void_p, (c_int, c_void_p, c_char_p, c_size_t)),
        "rd_kafka_destroy": (None, (c_void_p,)),
        "rd_kafka_mock_cluster_new": (c_void_p, (c_void_p, c_int)),
        "rd_kafka_mock_cluster_destroy": (None, (c_void_p,)),
        "rd_kafka_mock_cluster_bootstraps": (c_char_p, (c_void_p,)),
        "rd_kafka_mock_topic_create": (c_int, (c_void_p, c_char_p, c_int, c_int)),
        "rd_kafka_mock_broker_set_down": (c_int, (c_void_p, c_int32)),
        "rd_kafka_mock_broker_set_up": (c_int, (c_void_p, c_int32)),
        "rd_kafka_mock_broker_set_rtt": (c_int, (c_void_p, c_int32, c_int)),
        "rd_kafka_mock_push_request_errors_array": (None, (c_void_p, c_int16, c_size_t, POINTER(c_int))),
        "rd_kafka_mock_clear_request_errors": (None, (c_void_p, c_int16)),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, (c_void_p, c_int32)),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, list(arguments)
    return library


class EmbeddedBroker:
    """A mock cluster with all topics; a context manager.

    Parameters
    ----------
    settings
        Topic names; by default those of the table.
    partitions
        Of every topic; by default each topic's own number.
    brokers
        How many to run.
    """

    def __init__(self, settings: Settings | None = None, partitions: int | None = None, brokers: int = 1) -> None:
        self._settings = settings or Settings.from_environment({})
        self._partitions = partitions
        self._brokers = brokers
        self._client: int | None = None
        self._cluster: int | None = None

    def __enter__(self) -> EmbeddedBroker:
        """Start it and create the topics."""
        library = _library()
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        configuration = library.rd_kafka_conf_new()
        library.rd_kafka_conf_set(configuration, b"log_level", b"0", error, _ERROR_BYTES)
        self._client = library.rd_kafka_new(_PRODUCER, configuration, error, _ERROR_BYTES)
        if not self._client:
            raise InfraError(f"the embedded broker does not start: {error.value.decode()}")
        self._cluster = library.rd_kafka_mock_cluster_new(self._client, self._brokers)
        if not self._cluster:
            raise InfraError("the embedded broker does not start: no mock cluster")
        # Real brokers wait for more members before the first assignment; here it only costs three seconds.
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        # The cluster sometimes sleeps a second on a request; all at once they wait for one such second, not for each.
        with ThreadPoolExecutor(len(TOPICS)) as pool:
            list(pool.map(self._create, TOPICS))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop it; all records are gone."""
        library = _library()
        if self._cluster:
            library.rd_kafka_mock_cluster_destroy(self._cluster)
        if self._client:
            library.rd_kafka_destroy(self._client)
        self._cluster = self._client = None

    @property
    def address(self) -> str:
        """Bootstrap addresses, `host:port,host:port`."""
        found: bytes = _library().rd_kafka_mock_cluster_bootstraps(self._running())
        return found.decode()

    def create_topic(self, name: str, partitions: int) -> None:
        """Create one more topic."""
        self._check(_library().rd_kafka_mock_topic_create(self._running(), name.encode(), partitions, self._brokers))

    def down(self, broker: int = 1) -> None:
        """Refuse and drop connections to a broker, counted from 1."""
        self._check(_library().rd_kafka_mock_broker_set_down(self._running(), broker))

    def up(self, broker: int = 1) -> None:
        """Undo `down`."""
        self._check(_library().rd_kafka_mock_broker_set_up(self._running(), broker))

    def delay(self, milliseconds: int, broker: int = 1) -> None:
        """Answer every request so much later."""
        self._check(_library().rd_kafka_mock_broker_set_rtt(self._running(), broker, milliseconds))

    def fail(self, api: int, *codes: int) -> None:
        """Answer the next requests of an API with these Kafka error codes, one each.

        `fail(PRODUCE, 7, 7)` times two produce requests out.
        """
        errors = (c_int * len(codes))(*codes)
        _library().rd_kafka_mock_push_request_errors_array(self._running(), api, len(codes), errors)

    def _create(self, topic: Topic) -> None:
        self.create_topic(self._settings.name_of(topic), self._partitions or topic.partitions)

    def _running(self) -> int:
        if self._cluster is None:
            raise InfraError("the embedded broker is not running: use it in a `with` statement")
        return self._cluster

    def _check(self, code: int) -> None:
        if code:
            raise InfraError(f"the embedded broker refused: error {code}")
