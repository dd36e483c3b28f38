"""Go daemons with the Kafka clients they use: what they send arrives as they mean it, and they can read the answers.

The programs are in `tests/go`. Each producer prints where its messages went and the
canonical record each one means; nothing here knows how ingest gets there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.codec import Codec
from schemas.header import origin_of
from schemas.network import Forecast, NetworkSample
from schemas.topic import (
    COMPRESSION_KEYED,
    COMPRESSION_PREDICTION,
    COMPRESSION_RAW,
    NETWORK_FORECAST,
    NETWORK_KEYED,
    NETWORK_RAW,
    SYSTEM_KEYED,
    SYSTEM_RAW,
    SYSTEM_SCORE,
    TOPICS,
    Topic,
)
from streams.settings import Settings, variable_of
from streams.topic import admin, apply
from tests.e2e.harness import QUICK, ROOT, Found, Worker, read, read_until
from tests.kafka import Kafka

pytestmark = pytest.mark.kafka

SOURCE = ROOT / "tests" / "go"
PROGRAMS = ROOT / ".cache" / "go"
SCHEMAS = ROOT / "schemas" / "avro"
OLDEST_GO = (1, 24)
RECORDS = 84
CLIENTS = ("kafka-go", "kafka-go-murmur2", "franz-go", "sarama")
READERS = ("kafka-go", "franz-go", "sarama")
DATASETS = {
    "network": (NETWORK_RAW, NETWORK_KEYED),
    "compression": (COMPRESSION_RAW, COMPRESSION_KEYED),
    "system": (SYSTEM_RAW, SYSTEM_KEYED),
}
ANSWERS = {"decision": COMPRESSION_PREDICTION, "forecast": NETWORK_FORECAST, "score": SYSTEM_SCORE}

Line = dict[str, Any]


def missing() -> str:
    """What is missing to build the programs, or nothing."""
    if shutil.which("go") is None:
        return "no go (1.24 or newer is needed)"
    version = subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"go(\d+)\.(\d+)", version)
    return "" if found and (int(found[1]), int(found[2])) >= OLDEST_GO else f"{version.strip()} is older than 1.24"


@pytest.fixture(scope="module")
def programs() -> Path:
    """Directory of the programs, built."""
    reason = missing()
    if reason and os.environ.get("CI"):
        pytest.fail(f"CI runs these tests: {reason}")
    if reason:
        pytest.skip(reason)
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    build = ["go", "build", "-o", f"{PROGRAMS}/", "./cmd/...", "./example/..."]
    done = subprocess.run(build, cwd=SOURCE, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return PROGRAMS


def run(program: Path, **options: str) -> list[Line]:
    """What a program prints."""
    command = [str(program), *(f"-{name}={value}" for name, value in options.items())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def topics_of_its_own(kafka: Kafka, **variables: str) -> tuple[Settings, dict[str, str]]:
    """Settings and environment of an app whose topics nobody else has; the topics are there."""
    prefix = f"go{uuid.uuid4().hex[:8]}"
    names = {variable_of(topic): f"{prefix}.{topic.kind}" for topic in TOPICS}
    environment = {"BROKER_URL": kafka.address, "DWCP_APP_ID": prefix, **names, **QUICK, **variables}
    settings = Settings.from_environment(environment)
    apply(admin(settings), settings)
    return settings, environment


@dataclass
class Flow:
    """What every client sent of every dataset, and where it went through a worker."""

    settings: Settings
    sent: dict[tuple[str, str], list[Line]]
    keyed: dict[str, Found]

    def origin(self, dataset: str, line: Line) -> bytes:
        topic, _ = DATASETS[dataset]
        return origin_of(self.settings.name_of(topic), line["at"]["partition"], line["at"]["offset"])


@pytest.fixture(scope="module")
def flow(kafka: Kafka, programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flow]:
    settings, environment = topics_of_its_own(kafka)
    sent = {
        (client, dataset): run(
            programs / "produce", broker=kafka.address, topic=settings.name_of(raw), dataset=dataset,
            client=client, records=str(RECORDS),
        )
        for client in CLIENTS
        for dataset, (raw, _) in DATASETS.items()
    }  # fmt: skip
    worker = Worker(environment, tmp_path_factory.mktemp("go"), app="app")
    try:
        worker.wait_ready(timeout_s=120)
        worker.wait_read(2 * RECORDS * len(CLIENTS) * len(DATASETS))  # raw and keyed
        assert worker.stop() == 0, worker.tail()
        yield Flow(settings, sent, {name: read(settings, (topic,)) for name, (_, topic) in DATASETS.items()})
    finally:
        worker.kill()


@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("client", CLIENTS)
def test_what_a_client_sends_arrives_as_it_means_it(flow: Flow, client: str, dataset: str) -> None:
    found = flow.keyed[dataset]
    keys = {origin: key for key, origins in found.order.items() for origin in origins}
    lines = flow.sent[client, dataset]
    assert len(lines) == RECORDS
    for line in lines:
        origin = flow.origin(dataset, line)
        (value,) = found.values[origin]
        assert json.loads(value) == line["means"]
        assert keys[origin].decode() == line["key"]


@pytest.mark.parametrize("client", ["kafka-go-murmur2", "franz-go"])
def test_murmur2_clients_agree_with_us_on_the_partition_of_a_key(flow: Flow, client: str) -> None:
    for dataset in DATASETS:
        for line in flow.sent[client, dataset]:
            assert flow.keyed[dataset].partitions[line["key"].encode()] == {line["at"]["partition"]}


def fnv_1a_partition(key: str, partitions: int) -> int:
    """Where sarama puts a key: the signed 32-bit hash's remainder, without its sign."""
    value = 0x811C9DC5
    for byte in key.encode():
        value = (value ^ byte) * 0x01000193 % 2**32
    signed = value - 2**32 if value >= 2**31 else value
    return abs(signed) % partitions


def test_sarama_puts_keys_elsewhere_and_it_does_not_matter(flow: Flow) -> None:
    lines = [(dataset, line) for dataset in DATASETS for line in flow.sent["sarama", dataset]]
    assert all(line["at"]["partition"] == fnv_1a_partition(line["key"], NETWORK_RAW.partitions) for _, line in lines)
    elsewhere = [
        line for dataset, line in lines
        if flow.keyed[dataset].partitions[line["key"].encode()] != {line["at"]["partition"]}
    ]  # fmt: skip
    assert len(elsewhere) > len(lines) / 2


def test_without_keys_a_link_is_everywhere_and_comes_together_again(flow: Flow) -> None:
    places: dict[str, set[int]] = {}
    for line in flow.sent["kafka-go", "network"]:
        places.setdefault(line["key"], set()).add(line["at"]["partition"])
    assert max(map(len, places.values())) > 1
    assert all(len(flow.keyed["network"].partitions[key.encode()]) == 1 for key in places)


@pytest.mark.parametrize("record", ANSWERS)
@pytest.mark.parametrize("client", READERS)
def test_a_client_reads_every_answer_field_by_field(
    flow: Flow, kafka: Kafka, programs: Path, client: str, record: str
) -> None:
    published = answers(flow.settings, ANSWERS[record])
    assert len(published) > RECORDS  # clients send the same moments: some forecasts are of one already made
    decoded = run(
        programs / "consume", broker=kafka.address, topic=flow.settings.name_of(ANSWERS[record]), record=record,
        client=client, records=str(len(published)),
    )  # fmt: skip
    assert by_id(decoded) == published


def answers(settings: Settings, topic: Topic) -> list[Line]:
    found = read(settings, (topic,))
    return by_id(json.loads(value) for values in found.values.values() for value in values)


def by_id(lines: Iterable[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: line["id"])


@pytest.mark.parametrize("client", READERS)
def test_avro_from_go_and_back_to_go(kafka: Kafka, programs: Path, tmp_path: Path, client: str) -> None:
    settings, environment = topics_of_its_own(kafka, DWCP_OUTPUT_FORMAT="avro")
    lines = run(
        programs / "produce", broker=kafka.address, topic=settings.name_of(NETWORK_RAW), dataset="canonical",
        client=client, records=str(RECORDS), avro=str(SCHEMAS / "network.raw.v1.avsc"),
    )  # fmt: skip
    worker = Worker(environment, tmp_path, app="app")
    try:
        worker.wait_ready(timeout_s=120).wait_read(2 * RECORDS)
        assert worker.stop() == 0, worker.tail()
    finally:
        worker.kill()
    keyed = read(settings, (NETWORK_KEYED,))
    sample = Codec(NetworkSample)
    for line in lines:
        origin = origin_of(settings.name_of(NETWORK_RAW), line["at"]["partition"], line["at"]["offset"])
        ((record,), rejected) = sample.decode(list(keyed.values[origin]))
        assert not rejected
        assert msgspec.to_builtins(record) == line["means"]
    values = [value for values in read(settings, (NETWORK_FORECAST,)).values.values() for value in values]
    published, rejected = Codec(Forecast).decode(values)
    assert published
    assert not rejected
    decoded = run(
        programs / "consume", broker=kafka.address, topic=settings.name_of(NETWORK_FORECAST), record="forecast",
        client=client, records=str(len(published)), avro=str(SCHEMAS / "network.forecast.v1.avsc"),
    )  # fmt: skip
    assert by_id(decoded) == by_id(map(msgspec.to_builtins, published))


def test_the_go_code_is_formatted_and_vetted(programs: Path) -> None:
    assert programs
    root = subprocess.run(["go", "env", "GOROOT"], capture_output=True, text=True, check=True).stdout.strip()
    unformatted = subprocess.run(
        [f"{root}/bin/gofmt", "-l", "."], cwd=SOURCE, capture_output=True, text=True, check=True
    )
    assert unformatted.stdout == ""
    vetted = subprocess.run(["go", "vet", "./..."], cwd=SOURCE, capture_output=True, text=True, timeout=300)
    assert vetted.returncode == 0, vetted.stderr


def test_the_readme_shows_the_programs_that_are_run_here() -> None:
    shown = re.findall(r"```go\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert shown == [(SOURCE / "example" / name / "main.go").read_text() for name in ("producer", "consumer")]


def test_the_readmes_producer_gets_a_forecast_that_its_consumer_prints(
    kafka: Kafka, programs: Path, tmp_path: Path
) -> None:
    environment = {"BROKER_URL": kafka.address, "DWCP_APP_ID": f"readme-{uuid.uuid4().hex[:8]}", **QUICK}
    settings = Settings.from_environment(environment)
    apply(admin(settings), settings)
    subprocess.run([programs / "producer", kafka.address], check=True, timeout=30)
    worker = Worker(environment, tmp_path, app="app")
    with subprocess.Popen([programs / "consumer", kafka.address], stdout=subprocess.PIPE, text=True) as consumer:
        try:
            worker.wait_ready(timeout_s=120)
            read_until(settings, 1, (NETWORK_FORECAST,))
            assert consumer.stdout is not None
            assert re.fullmatch(r"host-1:host-2 \d+ Mbps, \d+ streams\n", consumer.stdout.readline())
        finally:
            consumer.kill()
            worker.kill()
