"""Fuzzing the decoder: whatever the bytes, a record or a rejection, and the neighbours live.

`decode` is the property. The tests run it on seeded mutations of valid values in every
format; this file, run, has atheris (libFuzzer) look for inputs that break it, guided by
coverage of `schemas`:

    PYTHONPATH=. python tests/schemas/fuzz.py --runs 1000000
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import msgspec
from msgspec import Struct

from schemas.avro.frame import confluent_prefix, single_object_prefix
from schemas.avro.reader import parsed
from schemas.avro.schema import schema_of
from schemas.codec import Codec
from schemas.error import DecodeError, RecordError
from schemas.topic import INPUTS, KEYED, SYSTEM_ANOMALY

REASONS = {"empty", "malformed", "schema", "unknown_schema"}
_SPICE = (
    b"\x00", b"\xc3\x01", b"\xff" * 9, b"\x80" * 10 + b"\x01", b"NaN", b"1e999", b"null", b"[[[[", b'{"a":' * 40,
    b"\xed\xa0\x80", b'"\\ud800"', b"9" * 400, b"-1", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"0001-01-01T00:00:00Z",
)  # fmt: skip


class _Writers:
    """A registry: 1 is ours, 2 an older one, 3 to 5 are none of ours."""

    def __init__(self, record: type[Struct]) -> None:
        schema = schema_of(record)
        older = {**schema, "fields": schema["fields"][1:]}
        nested = {"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"]}]}
        foreign = [nested, {"type": "map", "values": {"type": "array", "items": "long"}}, ["null", schema]]
        self._by_id = dict(enumerate((schema, older, *foreign), 1))

    def writer_schema(self, schema_id: int) -> str:
        if schema_id not in self._by_id:
            raise DecodeError("unknown_schema", f"no schema {schema_id}")
        return json.dumps(self._by_id[schema_id])


def good_datum(record: type[Struct]) -> dict[str, Any]:
    """A valid datum with every field of the record's schema."""
    simple = {"long": 2, "double": 0.5, "string": "n1", "boolean": True, "Algorithm": "HDE"}

    def value(kind: Any) -> Any:
        match kind:
            case str():
                return simple[kind]
            case list():
                return value(kind[-1])
            case {"type": "enum", "symbols": symbols}:
                return symbols[0]
            case {"type": "array", "items": items}:
                return [value(items)] * 3
            case {"type": "map", "values": values}:
                return {"k": value(values)}
            case {"type": "record", "fields": fields}:
                return {f["name"]: value(f["type"]) for f in fields}
            case _:
                return 1_767_323_045_123

    datum: dict[str, Any] = value(schema_of(record))
    return datum


TARGETS = [topic.record for topic in (*INPUTS, *KEYED, SYSTEM_ANOMALY) if topic.record is not None]
_CODECS: list[Codec[Any]] = [Codec(record, _Writers(record)) for record in TARGETS]
_NEIGHBOURS = [msgspec.json.encode(good_datum(record)) for record in TARGETS]


def decode(data: bytes) -> str:
    """Decode `data[1:]` between two good records as the record that `data[0]` chooses; `ok` or the reason.

    Raises
    ------
    AssertionError
        When a neighbour was lost, or a rejection says nothing.
    """
    which = (data[0] if data else 0) % len(_CODECS)
    codec, good = _CODECS[which], _NEIGHBOURS[which]
    columns, rejected = codec.read([good, data[1:], good])
    (found,) = set(map(len, columns.values()))
    if not rejected:
        assert found == 3
        return "ok"
    ((row, error),) = rejected
    assert found == 2
    assert row == 1
    assert isinstance(error, RecordError)
    assert str(error)
    assert error.reason in REASONS
    return error.reason


def seeds() -> list[bytes]:
    """Valid values of every record in every format, each behind the byte that chooses the record."""
    values = []
    for at, record in enumerate(TARGETS):
        datum, schema = good_datum(record), schema_of(record)
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, parsed(schema), datum)
        body = stream.getvalue()
        framed = [single_object_prefix(schema) + body, *(confluent_prefix(i) + body for i in range(1, 7))]
        values += [bytes([at]) + value for value in (msgspec.json.encode(datum), *framed)]
    return values


def mutations(count: int, seed: int) -> Iterator[bytes]:
    """Valid values with bytes changed, cut, doubled and spiced."""
    random_ = random.Random(seed)
    pool = seeds()
    for _ in range(count):
        data = bytearray(random_.choice(pool))
        for _ in range(random_.randint(1, 4)):
            at = random_.randrange(1, len(data) + 1)
            match random_.randrange(5):
                case 0:
                    data[at : at + 1] = bytes([random_.randrange(256)])
                case 1:
                    del data[at : at + random_.randint(1, 16)]
                case 2:
                    data[at:at] = random_.choice(_SPICE)
                case 3:
                    data[at:at] = data[at : at + random_.randint(1, 40)]
                case 4:
                    data[at : at + 2] = random_.choice(_SPICE)
        yield bytes(data)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    if importlib.util.find_spec("atheris") is None:
        sys.stderr.write("atheris is not installed (pip install atheris): seeded mutations without coverage instead\n")
        counts.update(map(decode, mutations(options.runs, options.seed)))
        sys.stdout.write(json.dumps({"runs": counts.total(), **counts}) + "\n")
        return
    import atheris

    atheris.instrument_all()

    def one(data: bytes) -> None:
        counts[decode(data)] += 1
        if counts.total() == options.runs:
            sys.stdout.write(json.dumps({"runs": counts.total(), **counts}) + "\n")
            sys.stdout.flush()

    with tempfile.TemporaryDirectory() as corpus:
        for at, seed in enumerate(seeds()):
            Path(corpus, str(at)).write_bytes(seed)
        limits = ["-max_len=4096", "-timeout=10", "-rss_limit_mb=4096", "-len_control=0"]
        atheris.Setup([sys.argv[0], f"-runs={options.runs}", f"-seed={options.seed}", *limits, corpus], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
