"""Delivery: outputs are on the broker after a flush, or the process ends with exit code 70."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable

import aiokafka
import pytest
from confluent_kafka import Consumer, TopicPartition

from schemas.topic import NETWORK_KEYED
from streams.embedded import PRODUCE, EmbeddedBroker
from streams.librdkafka import Librdkafka
from streams.message import Messages
from streams.publisher import producer_config
from streams.settings import Settings

TOPIC_AUTHORIZATION_FAILED, NOT_ENOUGH_REPLICAS = 29, 19
PROGRAM = """
import asyncio, sys
from agents import ingest
from streams.application import Application
from streams.embedded import EmbeddedBroker
from streams.message import Messages
from streams.settings import Settings

async def main():
    settings = Settings.from_environment({{"BROKER_URL": "{address}", "DWCP_DELIVERY_TIMEOUT_S": "{timeout_s}"}})
    app = Application(settings, ingest.agents)
    producer = app.producer
    await producer.start()
    {body}
    await producer.stop()

asyncio.run(main())
print("done")
"""


def run(address: str, body: str, timeout_s: int = 1) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(address=address, body=body, timeout_s=timeout_s)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)


def test_after_a_flush_every_record_is_on_the_broker_and_a_key_on_one_partition() -> None:
    n = 30_000
    body = f"""
    keys = [b"k%d" % (i % 10) for i in range({n})]
    await producer.publish("{NETWORK_KEYED.name}", Messages.of(keys, [b"x" * 50] * {n}, [[("h", b"1")]] * {n}))
    await producer.flush()
    """
    with EmbeddedBroker() as broker:
        done = run(broker.address, body)
        assert done.stdout == "done\n", done.stderr
        consumer = Consumer({"bootstrap.servers": broker.address, "group.id": "g", "fetch.wait.max.ms": 10})
        parts = [TopicPartition(NETWORK_KEYED.name, p, 0) for p in range(NETWORK_KEYED.partitions)]
        consumer.assign(parts)
        seen: dict[bytes, set[int]] = {}
        total = 0
        while total < n:
            messages = consumer.consume(5000, 5)
            assert messages, f"{total} of {n}"
            total += len(messages)
            for message in messages:
                seen.setdefault(message.key(), set()).add(message.partition())
        assert sum(consumer.get_watermark_offsets(p)[1] for p in parts) == n
        consumer.close()
    assert len(seen) == 10
    assert all(len(p) == 1 for p in seen.values())


def test_a_flush_ends_while_others_go_on_publishing() -> None:
    body = f"""
    async def publish():
        while True:
            await producer.publish("{NETWORK_KEYED.name}", Messages.of([b"k"] * 10, [b"x"] * 10, [[]] * 10))
            await asyncio.sleep(0.005)

    publishing = asyncio.create_task(publish())
    await asyncio.sleep(0.3)
    async with asyncio.timeout(10):
        await producer.flush()
    publishing.cancel()
    """
    with EmbeddedBroker() as broker:
        broker.delay(100)
        done = run(broker.address, body, timeout_s=30)
    assert done.stdout == "done\n", done.stderr


def test_others_publish_while_a_flush_waits() -> None:
    body = f"""
    record = lambda: Messages.of([b"k"], [b"x"], [[]])
    await producer.publish("{NETWORK_KEYED.name}", record())
    await producer.flush()
    await producer.publish("{NETWORK_KEYED.name}", record())
    flushing = asyncio.create_task(producer.flush())
    await asyncio.sleep(0.05)
    await producer.publish("{NETWORK_KEYED.name}", record())
    assert not flushing.done()
    await flushing
    """
    with EmbeddedBroker() as broker:
        broker.delay(200)
        done = run(broker.address, body, timeout_s=30)
    assert done.stdout == "done\n", done.stderr


@pytest.mark.parametrize("compression", ["lz4", "zstd", "none"])
def test_workers_read_what_workers_compress(compression: str) -> None:
    values = [b"the same words again and again %d " % i * 20 for i in range(50)]
    with EmbeddedBroker() as broker:
        settings = Settings.from_environment({"BROKER_URL": broker.address, "DWCP_COMPRESSION": compression})
        client = Librdkafka(producer_config(settings), lambda topic, reason: None, logging.getLogger(__name__))
        client.produce(NETWORK_KEYED.name, Messages.of([None] * 50, values, [[]] * 50), 0, 50, partition=3)
        assert client.flush(20) == 0
        client.close()
        assert asyncio.run(read_by_aiokafka(broker.address, 3, 50)) == values


async def read_by_aiokafka(address: str, partition: int, n: int) -> list[bytes]:
    found: list[bytes] = []
    async with asyncio.timeout(30):
        async with aiokafka.AIOKafkaConsumer(bootstrap_servers=address) as consumer:
            at = aiokafka.TopicPartition(NETWORK_KEYED.name, partition)
            consumer.assign([at])
            await consumer.seek_to_beginning(at)
            while len(found) < n:
                found += [record.value for some in (await consumer.getmany(timeout_ms=200)).values() for record in some]
    return found


def refuse(broker: EmbeddedBroker) -> None:
    broker.fail(PRODUCE, *[TOPIC_AUTHORIZATION_FAILED] * 20)


def be_slow(broker: EmbeddedBroker) -> None:
    broker.fail(PRODUCE, *[NOT_ENOUGH_REPLICAS] * 1000)


def do_nothing(broker: EmbeddedBroker) -> None:
    pass


@pytest.mark.parametrize(
    ("trouble", "size", "says"),
    [(do_nothing, 5_000_000, "cannot publish"), (refuse, 10, "not delivered"), (be_slow, 10, "not delivered")],
)
def test_what_cannot_be_delivered_ends_the_process(
    trouble: Callable[[EmbeddedBroker], None], size: int, says: str
) -> None:
    body = f"""
    await producer.publish("{NETWORK_KEYED.name}", Messages.of([b"k"], [b"x" * {size}], [[]]))
    await producer.flush()
    """
    with EmbeddedBroker() as broker:
        trouble(broker)
        done = run(broker.address, body)
    assert done.returncode == 70, done.stdout + done.stderr
    assert says in done.stderr
    assert done.stdout == ""
