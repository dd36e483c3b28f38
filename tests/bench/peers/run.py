"""Runs the job on each processor, one after another, on one broker and the same records.

Records wait on the broker. A worker's rate is taken between the first growth of its output topic that
was seen and the last, so starting up counts for nothing; every input must have one output, and
a sample of them must agree with this project's to nine digits.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
import uuid
import venv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from confluent_kafka import Consumer, TopicPartition

from agents import ingest
from schemas.topic import NETWORK_FEATURES, NETWORK_KEYED, NETWORK_RAW
from streams.settings import Settings, variable_of
from streams.topic import admin, apply
from tests.bench.peers import java
from tests.bench.traffic import keyed_records, raw_records, send, to_send
from tests.bench.trial import drain
from tests.kafka import Kafka, missing

ROOT: Final = Path(__file__).parent.parent.parent.parent
_COMPARED: Final = 2_000


class Peer(NamedTuple):
    """How a processor is started, what it needs in an environment of its own, and its share of the records.

    Without a module it is the one that runs on Java.
    """

    module: Sequence[str]
    needs: Sequence[str] = ()
    share: float = 1.0


PEERS: Final[Mapping[str, Peer]] = {
    "dwcp-streams": Peer(("faust", "-A", "tests.bench.peers.ours", "worker")),
    "kafka-streams": Peer(()),
    "bytewax": Peer(("bytewax.run", "tests.bench.peers.flow"), ("bytewax[kafka]==0.21.1", "orjson==3.11.4"), 0.5),
    "quix": Peer(("tests.bench.peers.quix",), ("quixstreams==3.28.1",), 0.5),
    "faust": Peer(("faust", "-A", "tests.bench.peers.plain_faust", "worker"), (), 0.1),
}


def run(names: Sequence[str], records: int, links: int, seed: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure processors.

    Parameters
    ----------
    names
        Which; the first is what the others are compared with.
    records
        That wait; slower ones are given a part of them, the first ones.
    links
        Size of the fleet.
    seed
        Of the fleet.
    say
        Where progress goes.
    """
    if reason := missing():
        raise SystemExit(f"dwcp: a real Kafka is needed: {reason}")
    say("making the traffic ...")
    raw = {NETWORK_RAW: raw_records(records, links, seed)[NETWORK_RAW]}
    keyed = keyed_records(raw, [a for a in ingest.agents if a.source == NETWORK_RAW])
    found: dict[str, Any] = {"records": records, "links": links, "seed": seed, "peers": {}}
    answers: dict[str, dict[Any, list[float]]] = {}
    with Kafka() as kafka, tempfile.TemporaryDirectory() as directory:
        for name in names:
            one, answers[name] = _measure(name, _command(name, say), kafka.address, keyed, Path(directory))
            found["peers"][name] = one
            say(f"{name}: {one['events_per_second']:,} events/s, {one['cpu_us_per_event']} us each, {one['lost']} lost")
    for name in names[1:]:
        found["peers"][name]["differing"] = _differing(answers[names[0]], answers[name])
        rate = found["peers"][name]["events_per_second"]
        each = found["peers"][name]["cpu_us_per_event"] / found["peers"][names[0]]["cpu_us_per_event"]
        found["peers"][name]["cpu_ratio"] = round(each, 2)
        found["peers"][name]["ratio"] = round(found["peers"][names[0]]["events_per_second"] / rate, 2)
    return found


def _command(name: str, say: Callable[[str], None]) -> list[str]:
    """What starts a processor; what it needs is installed first."""
    peer = PEERS[name]
    if peer.module:
        return [_python(peer.needs, name, say), "-m", *peer.module]
    say("compiling the job for Kafka Streams ...")
    return java.command()


def _python(needs: Sequence[str], name: str, say: Callable[[str], None]) -> str:
    """The interpreter of an environment that has what is needed."""
    if not needs:
        return sys.executable
    folder = ROOT / ".cache" / f"peers-{name}"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    say(f"installing {', '.join(needs)} ...")
    subprocess.run([python, "-m", "pip", "install", "-q", *needs], check=True, stdout=sys.stderr)
    return str(python)


def _measure(
    name: str, command: Sequence[str], address: str, keyed: Mapping[Any, Sequence[Any]], directory: Path
) -> tuple[dict[str, Any], dict[Any, list[float]]]:
    group = f"{name}-{uuid.uuid4().hex[:6]}"
    topics = {variable_of(t): f"{group}.{t.kind}" for t in (NETWORK_KEYED, NETWORK_FEATURES)}
    ours = {"BROKER_URL": address, "DWCP_APP_ID": group, "DWCP_WEB_PORT": "6166", **topics}
    settings = Settings.from_environment(ours)
    apply(admin(settings), settings)
    peer = PEERS[name]
    some = {NETWORK_KEYED: keyed[NETWORK_KEYED][: int(peer.share * len(keyed[NETWORK_KEYED]))]}
    sent = to_send(some, settings)
    send(address, sent)
    target = settings.name_of(NETWORK_FEATURES)
    theirs = {
        "PEER_BROKER": address, "PEER_GROUP": group, "PEER_FROM": settings.name_of(NETWORK_KEYED), "PEER_TO": target,
    }  # fmt: skip
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DWCP_") and k != "BROKER_URL"}
    log = directory / f"{name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            env=environment | theirs | (ours if name == "dwcp-streams" else {}), cwd=ROOT, stdout=out, stderr=out,
        )  # fmt: skip
    consumer = Consumer(
        {"bootstrap.servers": address, "group.id": "peers", "enable.auto.commit": False, "log_level": 0}
    )
    places = [TopicPartition(target, p, 0) for p in range(NETWORK_FEATURES.partitions)]
    try:
        rate, cpu_us = _drain(process, consumer, places, len(sent), log)
        answers, count = _answers(consumer, places)
    finally:
        consumer.close()
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
    lost = len(sent) - count
    found = {"events_per_second": round(rate), "cpu_us_per_event": round(cpu_us, 1), "lost": lost}
    return {"records": len(sent), **found}, answers


def _drain(
    process: subprocess.Popen[bytes], consumer: Consumer, places: Sequence[TopicPartition], records: int, log: Path
) -> tuple[float, float]:
    """Events per second and processor time per event between the first growth of the output and the last."""

    def tail() -> str:
        return log.read_text()[-2000:]

    def written() -> int:
        assert process.poll() is None, tail()
        return sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)

    return drain([process.pid], written, records, tail)


def _answers(consumer: Consumer, places: Sequence[TopicPartition]) -> tuple[dict[Any, list[float]], int]:
    """Features by link and time, of the first records of every partition; and how many records there are."""
    found = {}
    count = 0
    for place in places:
        end = consumer.get_watermark_offsets(place, timeout=10)[1]
        count += end
        consumer.assign([place])
        left = min(end, _COMPARED)
        while left > 0:
            for message in consumer.consume(left, 1.0):
                assert message.error() is None, message.error()
                record = msgspec.json.decode(message.value())
                found[record["node_id"], record["peer_id"], record["timestamp"]] = record["features"]
                left -= 1
    return found, count


def _differing(ours: Mapping[Any, list[float]], theirs: Mapping[Any, list[float]]) -> int:
    """How many of the answers that both have are not the same."""
    both = ours.keys() & theirs.keys()
    assert both, "nothing to compare"
    return sum(not all(map(_close, ours[at], theirs[at])) for at in both)


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
