"""The job on Bytewax: `python -m bytewax.run tests.bench.peers.flow`, in a virtual environment of its own."""

from __future__ import annotations

import os
from typing import Any

import orjson
from bytewax import operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow

from tests.bench.peers.job import Link, answer_of

Message = KafkaSourceMessage


def _answer(link: Link | None, message: Any) -> tuple[Link, Any]:
    link = link or Link()
    value = orjson.dumps(answer_of(orjson.loads(message.value), link))
    return link, KafkaSinkMessage(message.key, value)


brokers = [os.environ["PEER_BROKER"]]
flow = Dataflow("job")
samples = op.input("in", flow, KafkaSource(brokers, [os.environ["PEER_FROM"]], batch_size=1000))
keyed = op.key_on("link", samples, lambda message: message.key.decode())
answers = op.stateful_map("answer", keyed, _answer)
values = op.map("value", answers, lambda pair: pair[1])
op.output("out", values, KafkaSink(brokers, os.environ["PEER_TO"]))
