"""Announcements of models: closed stages, whole hashes, and one record kept per version."""

from __future__ import annotations

import hashlib

import msgspec
import pytest

from schemas.codec import codec_of
from schemas.key import key_of
from schemas.model import Gate, ModelAnnouncement
from schemas.topic import FOREVER, MODEL_ANNOUNCEMENT, TOPICS

SHA = hashlib.sha256(b"m").hexdigest()
ANNOUNCEMENT = ModelAnnouncement(
    "i", 1, "selector", "3", "champion", "challenger", "passed", "selector/3/model.onnx", "onnx", 21_437, SHA,
    "selector-19-1", SHA, 1, 0, 1, 184_320, SHA, {"accuracy": 0.96}, [Gate("accuracy", 0.96, 0.95, "at_least", True)],
    {"onnx": "1.20.0"},
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stage", "Champion"),
        ("stage", "deleted"),
        ("artifact_format", "pickle"),
        ("artifact_sha256", SHA[:-1]),
        ("artifact_sha256", SHA.upper()),
        ("artifact_sha256", SHA + "\n"),
        ("training_data_sha256", ""),
        ("artifact", ""),
        ("training_rows", -1),
    ],
)
def test_what_is_outside_the_contract_is_refused(name: str, value: object) -> None:
    sent = msgspec.to_builtins(ANNOUNCEMENT) | {name: value}
    _, ((_, error),) = codec_of(ModelAnnouncement).decode([msgspec.json.encode(sent)])
    assert error.reason == "schema"
    assert name in str(error)


def test_a_new_version_has_no_stage_before_and_no_signature_is_needed() -> None:
    new = msgspec.structs.replace(ANNOUNCEMENT, stage="candidate", previous_stage=None)
    assert codec_of(ModelAnnouncement).decode([msgspec.json.encode(new)]) == ([new], [])
    assert (new.signature, new.held) == ("", False)


def test_compaction_keeps_every_version_for_ever_and_in_order() -> None:
    assert [t for t in TOPICS if t.compacted] == [MODEL_ANNOUNCEMENT]
    assert (MODEL_ANNOUNCEMENT.retention_ms, MODEL_ANNOUNCEMENT.partitions) == (FOREVER, 1)
    fields = MODEL_ANNOUNCEMENT.key.split(":")
    keys = {
        key_of(*(getattr(a, name) for name in fields))
        for a in (ANNOUNCEMENT, msgspec.structs.replace(ANNOUNCEMENT, model_version="4", stage="candidate"))
    }
    assert len(keys) == 2
