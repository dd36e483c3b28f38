"""A schema registry: the schemas behind the ids of Confluent framing.

Confluent's client, with its in-memory `mock://` registry for tests. It is imported only
when a registry is configured: it needs packages that a worker else does without.
"""

from __future__ import annotations

import time
from typing import Any, Final

from schemas.error import ConfigError, DecodeError, DwcpError, InfraError

# Looking a schema up blocks the worker, heartbeats included: all tries together stay
# below the default session timeout of 10 s.
_TIMEOUT_S: Final = 3.0
_RETRIES: Final = 1
_RETRY_WAIT_MS: Final = 500

_FORGET_UNKNOWN_S: Final = 30.0
_UNKNOWN_MAX: Final = 10_000


class Registry:
    """A schema registry; nothing is sent before the first question.

    Parameters
    ----------
    url
        `http://host:port`, several separated by commas, or `mock://name`.
    user_info
        `user:password`, or empty.

    Raises
    ------
    ConfigError
        When the packages that the client needs are not installed.
    """

    def __init__(self, url: str, user_info: str = "") -> None:
        try:
            from confluent_kafka.schema_registry import SchemaRegistryClient
        except ImportError as exc:
            allowed = f"it needs more packages ({exc}): pip install 'dwcp-streams[registry]'"
            raise ConfigError("DWCP_SCHEMA_REGISTRY_URL", url, allowed) from exc
        config: dict[str, Any] = {
            "url": url,
            "timeout": _TIMEOUT_S,
            "max.retries": _RETRIES,
            "retries.wait.ms": _RETRY_WAIT_MS,
            "retries.max.wait.ms": _RETRY_WAIT_MS,
        }
        if user_info:
            config["basic.auth.user.info"] = user_info
        self.url = url
        self._client = SchemaRegistryClient.new_client(config)
        self._unknown: dict[int, float] = {}

    def writer_schema(self, schema_id: int) -> str:
        """The Avro schema of an id, as JSON text; the client remembers it.

        Raises
        ------
        DecodeError
            `unknown_schema`: the registry has no such schema, or it is not Avro. Not asked
            again for half a minute, so that a flood of them does not become one of requests.
        InfraError
            When the registry does not answer, or not as one.
        """
        if time.monotonic() - self._unknown.get(schema_id, -_FORGET_UNKNOWN_S) < _FORGET_UNKNOWN_S:
            raise _unknown(schema_id, self.url)
        try:
            schema = self._client.get_schema(schema_id)
        except Exception as exc:
            if not _is_not_found(exc):
                raise self._failed(f"cannot read schema {schema_id}", exc) from exc
            if len(self._unknown) >= _UNKNOWN_MAX:
                self._unknown.clear()
            self._unknown[schema_id] = time.monotonic()
            raise _unknown(schema_id, self.url) from exc
        if (schema.schema_type or "AVRO").upper() != "AVRO":
            raise DecodeError("unknown_schema", f"schema {schema_id} is {schema.schema_type}, not AVRO")
        if not schema.schema_str:
            raise self._failed(f"cannot read schema {schema_id}", ValueError("the answer holds no schema"))
        return str(schema.schema_str)

    def register(self, subject: str, schema: str) -> int:
        """Register a schema under a subject, which changes nothing when it is there; its id.

        Raises
        ------
        InfraError
            When the registry refuses it, or does not answer.
        """
        from confluent_kafka.schema_registry import Schema

        try:
            return int(self._client.register_schema(subject, Schema(schema, "AVRO")))
        except Exception as exc:
            raise self._failed(f"cannot register the schema of {subject}", exc) from exc

    def _failed(self, what: str, exc: Exception) -> DwcpError:
        # Which HTTP library is beneath, and so which errors it raises, is the client's business.
        reason = str(exc) or type(exc).__name__
        return InfraError(f"{what} at the registry {self.url} ({reason}): check DWCP_SCHEMA_REGISTRY_URL")


def _is_not_found(exc: Exception) -> bool:
    """Whether a registry says so; any web server answers 404, but not with a registry's error code."""
    code = getattr(exc, "error_code", None)
    return getattr(exc, "http_status_code", None) == 404 and isinstance(code, int) and code // 100 == 404


def _unknown(schema_id: int, url: str) -> DecodeError:
    return DecodeError("unknown_schema", f"the registry {url} has no schema {schema_id}")
