"""A producer through librdkafka's C interface, which takes records from a compiled loop.

The library is the one that the confluent-kafka package brings, the interface its
documented one (`rdkafka.h`, `rd_kafka_produceva`). The package's own producer wants
Python objects of every record and header; here a batch is one call. Nothing else
differs: idempotence, retries, batches, compression and security are librdkafka's.

What is on its way is counted, by an interceptor that the library's threads call, so that a flush waits for what was
handed over before it and not for what others hand over meanwhile.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable, Mapping
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_size_t, c_void_p
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
from confluent_kafka import cimpl
from numpy.typing import NDArray

from schemas.error import InfraError
from streams.message import CELLS, Messages

ANY_PARTITION: Final = -1
_QUEUE_FULL: Final = -184
_PRODUCER: Final = 0
_ERROR_BYTES: Final = 512
_LEVELS: Final = (logging.CRITICAL,) * 3 + (logging.ERROR, logging.WARNING, logging.INFO, logging.INFO, logging.DEBUG)
"""Of syslog's levels, which librdkafka uses."""

_TOPIC, _PARTITION, _VALUE, _KEY, _OPAQUE, _FLAGS, _HEADER = 2, 3, 4, 5, 6, 7, 9
"""`rd_kafka_vtype_t`: what an argument of `rd_kafka_produceva` is."""

_COPY: Final = 2
_FIXED: Final = 6
"""Arguments beside headers."""

_ARGUMENT_WORDS: Final = 9
"""An `rd_kafka_vu_t`: its type in a word of eight bytes, then a union of eight words."""

_PRIVATE_WORD: Final = 8
"""Which word of an `rd_kafka_message_t` is the opaque one."""


class _Message(Structure):
    """Beginning of an `rd_kafka_message_t`."""

    _fields_ = (("error", c_int), ("topic", c_void_p))


_OnDelivery = CFUNCTYPE(None, c_void_p, POINTER(_Message), c_void_p)
_OnLog = CFUNCTYPE(None, c_void_p, c_int, c_char_p, c_char_p)
_OnNew = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_char_p, c_size_t)

_SIGNATURES: Final[Mapping[str, tuple[Any, ...]]] = {
    "conf_new": (c_void_p,),
    "conf_set": (c_int, c_void_p, c_char_p, c_char_p, c_char_p, c_size_t),
    "conf_set_dr_msg_cb": (None, c_void_p, _OnDelivery),
    "conf_set_log_cb": (None, c_void_p, _OnLog),
    "conf_interceptor_add_on_new": (c_int, c_void_p, c_char_p, _OnNew, c_void_p),
    "interceptor_add_on_acknowledgement": (c_int, c_void_p, c_char_p, c_void_p, c_void_p),
    "conf_destroy": (None, c_void_p),
    "new": (c_void_p, c_int, c_void_p, c_char_p, c_size_t),
    "set_log_queue": (c_int, c_void_p, c_void_p),
    "topic_new": (c_void_p, c_void_p, c_char_p, c_void_p),
    "topic_name": (c_char_p, c_void_p),
    "topic_destroy": (None, c_void_p),
    "poll": (c_int, c_void_p, c_int),
    "flush": (c_int, c_void_p, c_int),
    "outq_len": (c_int, c_void_p),
    "err2str": (c_char_p, c_int),
    "error_code": (c_int, c_void_p),
    "error_string": (c_char_p, c_void_p),
    "error_destroy": (None, c_void_p),
    "destroy": (None, c_void_p),
}
"""By name without `rd_kafka_`: what it returns, what it takes."""


@cache
def _library() -> Any:
    """The library that confluent-kafka is linked with."""
    library = ctypes.CDLL(cimpl.__file__)
    for name, (result, *arguments) in _SIGNATURES.items():
        function = getattr(library, f"rd_kafka_{name}")
        function.restype, function.argtypes = result, arguments
    return library


class Librdkafka:
    """A producer.

    Parameters
    ----------
    config
        Of librdkafka, https://github.com/confluentinc/librdkafka/blob/master/CONFIGURATION.md.
    failed
        Called by `poll` and `flush` with a topic's name and why a record was not delivered to it.
    log
        Where the client's log goes.

    Raises
    ------
    InfraError
        When the configuration cannot be.
    """

    def __init__(self, config: Mapping[str, Any], failed: Callable[[str, str], None], log: logging.Logger) -> None:
        self._library = library = _library()
        # The library keeps pointers to them.
        self._on_delivery = _OnDelivery(lambda _, message, __: self._deliver(message.contents, failed))
        self._on_log = _OnLog(
            lambda _, level, facility, text: log.log(_LEVELS[level], "%s: %s", _s(facility), _s(text))
        )
        self._on_new = _OnNew(
            lambda client, *_: library.rd_kafka_interceptor_add_on_acknowledgement(
                client, b"on its way", _compiled().acknowledge, None
            )
        )
        self._on_its_way = np.zeros(2, np.int64)
        self._epoch = 0
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        conf = library.rd_kafka_conf_new()
        # Logged by `poll`, not by a thread of the library's, which may hold locks that a caller waits for.
        for name, value in ({"log.queue": True} | dict(config)).items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if library.rd_kafka_conf_set(conf, name.encode(), text.encode(), error, _ERROR_BYTES):
                library.rd_kafka_conf_destroy(conf)
                raise InfraError(f"librdkafka: {_s(error.value)}")
        library.rd_kafka_conf_set_dr_msg_cb(conf, self._on_delivery)
        library.rd_kafka_conf_set_log_cb(conf, self._on_log)
        library.rd_kafka_conf_interceptor_add_on_new(conf, b"on its way", self._on_new, None)
        self._client = library.rd_kafka_new(_PRODUCER, conf, error, _ERROR_BYTES)
        if not self._client:
            library.rd_kafka_conf_destroy(conf)
            raise InfraError(f"librdkafka: {_s(error.value)}")
        library.rd_kafka_set_log_queue(self._client, None)
        self._topics: dict[str, int] = {}
        self._produce = ctypes.cast(library.rd_kafka_produceva, c_void_p).value

    def produce(self, topic: str, messages: Messages, first: int, end: int, partition: int = ANY_PARTITION) -> int:
        """Hand over messages `[first, end)`, which are copied.

        Returns
        -------
        int
            The message it came to: before `end` when the queue is full.

        Raises
        ------
        InfraError
            When one can never be sent: too large, say. Those before it are handed over.
        """
        at, error = _compiled().hand_over(
            self._produce, self._client, self._topic(topic), partition, first, end,
            self._on_its_way.ctypes.data + 8 * self._epoch,
            messages.key.address, messages.key.size, messages.value.address, messages.value.size,
            messages.header, messages.end,
        )  # fmt: skip
        if error:
            code = self._library.rd_kafka_error_code(error)
            text = _s(self._library.rd_kafka_error_string(error))
            self._library.rd_kafka_error_destroy(error)
            if code != _QUEUE_FULL:
                raise InfraError(text)
        return int(at)

    @property
    def unacknowledged(self) -> int:
        """How many of those handed over before the last `cut` the broker has not acknowledged; failed ones stay."""
        return int(self._on_its_way[1 - self._epoch])

    def cut(self) -> None:
        """From now on `unacknowledged` is what has been handed over until now.

        Raises
        ------
        RuntimeError
            While what was handed over before the last cut is on its way.
        """
        if self.unacknowledged:
            raise RuntimeError(f"{self.unacknowledged} records are on their way from before the last cut")
        self._epoch = 1 - self._epoch

    def poll(self) -> None:
        """Report what was not delivered, and log."""
        self._library.rd_kafka_poll(self._client, 0)

    def flush(self, seconds: float) -> int:
        """Wait so long for what was handed over; returns how many records still wait."""
        self._library.rd_kafka_flush(self._client, int(1000 * seconds))
        return int(self._library.rd_kafka_outq_len(self._client))

    def close(self) -> None:
        """Disconnect; what was not flushed may be lost."""
        for topic in self._topics.values():
            self._library.rd_kafka_topic_destroy(topic)
        self._topics.clear()
        if self._client:
            self._library.rd_kafka_destroy(self._client)
            self._client = None

    def _topic(self, name: str) -> int:
        if name not in self._topics:
            topic = self._library.rd_kafka_topic_new(self._client, name.encode(), None)
            if not topic:
                raise InfraError(f"librdkafka: {name!r} cannot be a topic")
            self._topics[name] = topic
        return self._topics[name]

    def _deliver(self, message: _Message, failed: Callable[[str, str], None]) -> None:
        if message.error:
            failed(
                _s(self._library.rd_kafka_topic_name(message.topic)), _s(self._library.rd_kafka_err2str(message.error))
            )


def warm() -> None:
    """Compile the loop."""
    none = np.zeros(0, np.int64)
    _compiled().hand_over(0, 0, 0, 0, 0, 0, 0, none, none, none, none, none.reshape(0, CELLS), none)


class _Compiled(NamedTuple):
    """The loop that hands over, and the address of what counts acknowledgements."""

    hand_over: Callable[..., tuple[int, int]]
    acknowledge: int


@cache
def _compiled() -> _Compiled:
    """Made when first asked for, so that kernels' cache is where the worker put it."""
    from llvmlite import ir
    from numba import cfunc, njit, types
    from numba.extending import intrinsic

    from schemas.memory import int_at

    word = ir.IntType(64)

    @intrinsic
    def call(_: Any, function: Any, client: Any, arguments: Any, count: Any) -> Any:
        """Call the function at an address with three words."""

        def build(_: Any, builder: Any, __: Any, given: Any) -> Any:
            kind = ir.FunctionType(word, [word] * 3)
            return builder.call(builder.inttoptr(given[0], kind.as_pointer()), list(given[1:]))

        return types.int64(types.int64, types.int64, types.int64, types.int64), build

    @intrinsic
    def add(_: Any, address: Any, value: Any) -> Any:
        """Add to a word that other threads add to as well."""

        def build(_: Any, builder: Any, __: Any, given: Any) -> Any:
            return builder.atomic_rmw("add", builder.inttoptr(given[0], word.as_pointer()), given[1], "seq_cst")

        return types.int64(types.int64, types.int64), build

    @cfunc(types.int32(types.int64, types.int64, types.int64), cache=True)
    def acknowledge(_: int, message: int, __: int) -> int:
        """One less is on its way, unless it failed: a flush waits until that is reported."""
        if int_at(message, 0) & 0xFFFFFFFF == 0:
            add(int_at(message, _PRIVATE_WORD), -1)
        return 0

    @njit(cache=True, nogil=True)
    def hand_over(
        produce: int, client: int, topic: int, partition: int, first: int, end: int, on_its_way: int,
        key: NDArray[np.int64], key_size: NDArray[np.int64], value: NDArray[np.int64], value_size: NDArray[np.int64],
        header: NDArray[np.int64], header_end: NDArray[np.int64],
    ) -> tuple[int, int]:  # fmt: skip
        """Rows come to, and the error that stopped it."""
        at = header_end[first - 1] if first else 0
        most = 0
        before = at
        for row in range(first, end):
            most = max(most, header_end[row] - before)
            before = header_end[row]
        argument = np.zeros((_FIXED + most, _ARGUMENT_WORDS), np.int64)
        argument[0, 0], argument[0, 1] = _TOPIC, topic
        argument[1, 0], argument[1, 1] = _PARTITION, partition
        argument[2, 0], argument[2, 1] = _FLAGS, _COPY
        argument[3, 0] = _VALUE
        argument[4, 0] = _KEY
        argument[5, 0], argument[5, 1] = _OPAQUE, on_its_way
        argument[_FIXED:, 0] = _HEADER
        for row in range(first, end):
            argument[3, 1], argument[3, 2] = value[row], max(value_size[row], 0)
            argument[4, 1], argument[4, 2] = key[row], max(key_size[row], 0)
            count = _FIXED
            while at < header_end[row]:
                argument[count, 1], argument[count, 2], argument[count, 3] = header[at, 0], header[at, 1], header[at, 2]
                count += 1
                at += 1
            add(on_its_way, 1)  # before: it may be acknowledged before the call is back
            error = call(produce, client, argument.ctypes.data, count)
            if error:
                add(on_its_way, -1)
                return row, error
        return end, 0

    return _Compiled(hand_over, acknowledge.address)


def _s(text: bytes) -> str:
    return text.decode("utf-8", "replace")
