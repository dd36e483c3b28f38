"""What a worker reads and writes on each topic: codecs, as the settings say.

Every format is read at all times. Outputs are JSON, or Avro in single-object framing
with the schemas in `schemas/avro/`, or Avro in Confluent framing, whose schemas are
registered under `<topic>-value` first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from schemas.avro.frame import confluent_prefix, single_object_prefix
from schemas.codec import Codec
from schemas.topic import INPUTS, Topic
from streams.registry import Registry
from streams.settings import Settings


class Wire:
    """The codecs of a worker, one per topic.

    Parameters
    ----------
    settings
        Output format, registry and topic names.

    Raises
    ------
    ConfigError
        When a registry is set and the packages it needs are not installed.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        url = settings.schema_registry_url
        self._registry = Registry(url, settings.schema_registry_auth) if url else None
        self._codecs: dict[Topic, Codec[Any]] = {}

    def open(self, topics: Iterable[Topic]) -> None:
        """Make the codecs of these topics; registers what has to be, so that a worker starts whole or not at all.

        Raises
        ------
        InfraError
            When a registry does not answer or refuses a schema.
        """
        for topic in topics:
            self.codec(topic)

    def codec(self, topic: Topic) -> Codec[Any]:
        """The codec of a topic that has a record; made once.

        Raises
        ------
        InfraError
            As `open`.
        """
        if topic not in self._codecs:
            assert topic.record is not None
            self._codecs[topic] = Codec(topic.record, self._registry, self._prefix(topic))
        return self._codecs[topic]

    def _prefix(self, topic: Topic) -> bytes | None:
        """Frame of what is written to a topic; None for JSON, and for what producers alone write."""
        if self._settings.output_format == "json" or topic in INPUTS:
            return None
        from schemas.avro.version import derived, text_of

        schema = derived(topic)
        if self._settings.output_format == "avro" or self._registry is None:
            return single_object_prefix(schema)
        return confluent_prefix(self._registry.register(f"{self._settings.name_of(topic)}-value", text_of(schema)))
