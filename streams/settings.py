"""The one place of configuration: environment variables, checked before anything starts.

A worker never starts half configured: a value that cannot work, or a `DWCP_*`
variable that nobody reads, is a `ConfigError` that names it and says what is allowed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, NamedTuple

from schemas.error import ConfigError
from schemas.topic import TOPICS, Topic
from streams import kind
from streams.kind import Kind
from streams.security import MECHANISMS, PROTOCOLS, check_security

_TOPIC_PREFIX = "DWCP_TOPIC_"
_APP_ID = r"[A-Za-z0-9._-]{1,200}"
_REGISTRY_URL = r"(https?://[^\s/@,]+[^\s@,]*(,\s*https?://[^\s/@,]+[^\s@,]*)*|mock://[\w.-]*)?"
_MODEL_STORE = r"(?:(?:file|s3|s3a)://)?[^\r\n:]+"
_SECRET_NAME = re.compile("PASS|PASW|AUTH|TOKEN|SECRET|KEY|CRED")


class Variable(NamedTuple):
    """One environment variable: its default as a user would write it, and what it means."""

    name: str
    default: str
    meaning: str
    kind: Kind


class Effective(NamedTuple):
    """One row of `Settings.table`."""

    name: str
    value: str
    default: str
    meaning: str


def _variable(name: str, default: str, meaning: str, kind: Kind) -> Any:
    return field(metadata={"variable": Variable(name, default, meaning, kind)})


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of a worker; build it with `from_environment`."""

    brokers: tuple[str, ...] = _variable(
        "BROKER_URL", "kafka://127.0.0.1:9092", "Kafka bootstrap addresses", kind.BROKERS
    )
    app_id: str = _variable(
        "DWCP_APP_ID", "dwcp-streams", "consumer group; workers of one id share the partitions",
        kind.matching(_APP_ID, "1 to 200 letters, digits, '.', '_' or '-'"),
    )  # fmt: skip
    instance_id: str = _variable(
        "DWCP_INSTANCE_ID", "", "static group membership: a restart within the session timeout moves no partition",
        kind.matching(r"[A-Za-z0-9._-]{0,200}", "up to 200 letters, digits, '.', '_' or '-'"),
    )  # fmt: skip
    web_host: str = _variable(
        "DWCP_WEB_HOST", "127.0.0.1", "address that the metrics and health pages listen on",
        kind.matching(r"[A-Za-z0-9.:_-]+", "a host name or address"),
    )  # fmt: skip
    web_port: int = _variable("DWCP_WEB_PORT", "6066", "port of the same", kind.number(int, 1, 65535))
    session_timeout_s: float = _variable(
        "DWCP_SESSION_TIMEOUT_S",
        "10",
        "a worker silent for so long loses its partitions",
        kind.number(float, 1, 1800, "s"),
    )
    heartbeat_s: float = _variable(
        "DWCP_HEARTBEAT_S",
        "3",
        "between heartbeats; at most half the session timeout",
        kind.number(float, 0.1, 900, "s"),
    )
    commit_interval_s: float = _variable(
        "DWCP_COMMIT_INTERVAL_S", "0.5", "between commits, what a restart repeats", kind.number(float, 0.01, 60, "s")
    )
    batch_max_records: int = _variable(
        "DWCP_BATCH_MAX_RECORDS",
        "4096",
        "records handed to a step at once, at most",
        kind.number(int, 1, 1_000_000, ""),
    )
    units: Mapping[str, str] = _variable(
        "DWCP_UNITS", "", "units of input names that do not say theirs, e.g. utilization=ratio, packet_loss=percent",
        kind.UNITS,
    )  # fmt: skip
    rebuild_records: int = _variable(
        "DWCP_REBUILD_RECORDS", "200000", "records per partition that a state without a snapshot is rebuilt from",
        kind.number(int, 0, 1_000_000_000, ""),
    )  # fmt: skip
    snapshot_interval_s: float = _variable(
        "DWCP_SNAPSHOT_INTERVAL_S", "2", "between snapshots of a state; what came since is replayed after a crash",
        kind.number(float, 0.05, 3600, "s"),
    )  # fmt: skip
    buffer_batches: int = _variable(
        "DWCP_BUFFER_BATCHES", "16", "batches buffered per agent before fetching pauses", kind.number(int, 2, 1024, "")
    )
    fetch_max_bytes: int = _variable(
        "DWCP_FETCH_MAX_BYTES", "1048576", "bytes per partition and fetch, as compressed",
        kind.number(int, 1024, 1 << 30, "bytes"),
    )  # fmt: skip
    fetch_max_wait_ms: int = _variable(
        "DWCP_FETCH_MAX_WAIT_MS", "25", "how long the broker may wait for a first record",
        kind.number(int, 1, 30_000, "ms"),
    )  # fmt: skip
    linger_ms: float = _variable(
        "DWCP_LINGER_MS", "5", "how long the producer waits to fill a batch", kind.number(float, 0, 10_000, "ms")
    )
    compression: str = _variable(
        "DWCP_COMPRESSION", "lz4", "of outputs; `none` spares processors, and costs network and disks more bytes",
        kind.choice("lz4", "zstd", "none"),
    )  # fmt: skip
    delivery_timeout_s: float = _variable(
        "DWCP_DELIVERY_TIMEOUT_S", "30", "an output not delivered by then ends the worker with exit code 70",
        kind.number(float, 1, 3600, "s"),
    )  # fmt: skip
    output_max_bytes: int = _variable(
        "DWCP_OUTPUT_MAX_BYTES", "1000000", "larger outputs become dead letters of their input",
        kind.number(int, 1024, 1 << 30, "bytes"),
    )  # fmt: skip
    stall_timeout_s: float = _variable(
        "DWCP_STALL_TIMEOUT_S", "120", "records waiting and no commit for so long: not live, and exit code 70",
        kind.number(float, 5, 86_400, "s"),
    )  # fmt: skip
    log_level: str = _variable(
        "DWCP_LOG_LEVEL", "warning", "least severe level that is logged; debug: info, and a line of JSON per decision",
        kind.choice("critical", "error", "warning", "info", "debug"),
    )  # fmt: skip
    output_format: str = _variable(
        "DWCP_OUTPUT_FORMAT", "json", "format of outputs; avro is single-object framing; inputs may be any",
        kind.choice("json", "avro", "avro-confluent"),
    )  # fmt: skip
    schema_registry_url: str = _variable(
        "DWCP_SCHEMA_REGISTRY_URL", "", "registry of the schemas of Confluent-framed Avro; empty: such records are "
        "dead letters", kind.matching(_REGISTRY_URL, "http://host:port, several separated by ',', or mock://name"),
    )  # fmt: skip
    schema_registry_auth: str = _variable("DWCP_SCHEMA_REGISTRY_AUTH", "", "user:password at the registry", kind.LOGIN)
    model_store: str = _variable(
        "DWCP_MODEL_STORE", "models", "where models' artifacts lie: a folder, or s3://bucket/path; nothing is loaded "
        "from elsewhere", kind.matching(_MODEL_STORE, "a folder, file:///folder, or s3://bucket/path"),
    )  # fmt: skip
    model_key: str = _variable(
        "DWCP_MODEL_KEY",
        "",
        "key that announcements of models are signed with, and must be once it is set",
        kind.SECRET,
    )
    false_alarms_per_node_day: float = _variable(
        "DWCP_FALSE_ALARMS_PER_NODE_DAY", "1", "how often normal operation of a node may open an alert",
        kind.number(float, 0.01, 1000, "per node and day"),
    )  # fmt: skip
    false_alarms_per_link_day: float = _variable(
        "DWCP_FALSE_ALARMS_PER_LINK_DAY", "0.2", "how often normal operation of a link may open an alert",
        kind.number(float, 0.01, 1000, "per link and day"),
    )  # fmt: skip
    feedback_rate: float = _variable(
        "DWCP_FEEDBACK_RATE", "0.1", "share by which an operator's word raises a threshold, or lowers by half of it",
        kind.number(float, 0, 0.5, ""),
    )  # fmt: skip
    horizons: tuple[int, ...] = _variable(
        "DWCP_HORIZONS", "", "how far ahead links are forecast besides 15 minutes, e.g. 1min,5min,30min,60min",
        kind.HORIZONS,
    )  # fmt: skip
    amst_factors: tuple[float, ...] = _variable(
        "DWCP_AMST_FACTORS", "", "what AMST's streams are multiplied by, by type of link, e.g. dc=0.03,edge=2; else 1",
        kind.FACTORS,
    )  # fmt: skip
    kafka_security_protocol: str = _variable(
        "DWCP_KAFKA_SECURITY_PROTOCOL", "plaintext",
        "how brokers are reached: plaintext, ssl, sasl_plaintext or sasl_ssl",
        kind.choice(*PROTOCOLS),
    )  # fmt: skip
    kafka_sasl_mechanism: str = _variable(
        "DWCP_KAFKA_SASL_MECHANISM", "scram-sha-256", "how the password is proved: plain, scram-sha-256, scram-sha-512",
        kind.choice(*MECHANISMS),
    )  # fmt: skip
    kafka_sasl_username: str = _variable("DWCP_KAFKA_SASL_USERNAME", "", "user at the brokers", kind.TEXT)
    kafka_sasl_password: str = _variable("DWCP_KAFKA_SASL_PASSWORD", "", "its password", kind.PASSWORD)
    kafka_ssl_ca: str = _variable(
        "DWCP_KAFKA_SSL_CA", "", "PEM file of who signed the brokers' certificates; empty: the system's", kind.FILE
    )
    kafka_ssl_cert: str = _variable(
        "DWCP_KAFKA_SSL_CERT", "", "PEM file of our own certificate, where brokers ask for one", kind.FILE
    )
    kafka_ssl_key: str = _variable("DWCP_KAFKA_SSL_KEY", "", "PEM file of its key, without a password", kind.FILE)
    web_token: str = _variable(
        "DWCP_WEB_TOKEN", "",
        "bearer token for the page's data and the API; without one, nothing can be posted from other hosts",
        kind.SECRET,
    )  # fmt: skip
    web_tls_cert: str = _variable(
        "DWCP_WEB_TLS_CERT", "", "PEM file of the pages' certificate: HTTPS instead of HTTP", kind.FILE
    )
    web_tls_key: str = _variable("DWCP_WEB_TLS_KEY", "", "PEM file of its key, without a password", kind.FILE)
    page: str = _variable(
        "DWCP_PAGE", "on", "the live page at `/`, which reads the output topics", kind.choice("on", "off")
    )
    log_format: str = _variable(
        "DWCP_LOG_FORMAT", "text", "lines of text, or one JSON object each", kind.choice("text", "json")
    )
    trace_exporter: str = _variable(
        "DWCP_TRACE_EXPORTER", "none", "OpenTelemetry's exporter of a span per batch, e.g. otlp; OTEL_* say the rest",
        kind.matching(r"[a-z0-9_-]{1,64}", "none, or the name of an installed exporter"),
    )  # fmt: skip
    sidecar_data: str = _variable(
        "DWCP_SIDECAR_DATA", "data", "folder of the sidecar: data sets, trainings, and how far it got",
        kind.matching(r"[^\r\n]+", "a folder"),
    )  # fmt: skip
    sidecar_port: int = _variable(
        "DWCP_SIDECAR_PORT", "6070", "port of the sidecar's metrics, at DWCP_WEB_HOST", kind.number(int, 1, 65535, "")
    )
    postgres_url: str = _variable(
        "DWCP_POSTGRES_URL", "", "database that the sidecar writes data sets to as well: "
        "postgresql://user:password@host:port/name; empty: none", kind.DATABASE,
    )  # fmt: skip
    postgres_tables: tuple[str, ...] = _variable(
        "DWCP_POSTGRES_TABLES",
        "compression.keyed",
        "topics that it gets, e.g. compression.keyed,network.keyed",
        kind.TOPIC_KINDS,
    )
    export_key: str = _variable(
        "DWCP_EXPORT_KEY", "", "key that ids are hashed with in what `dwcp dataset` writes and what PostgreSQL gets; "
        "empty: they stay as they are", kind.SECRET,
    )  # fmt: skip
    topic_names: Mapping[Topic, str] = field(default_factory=dict)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Settings as the environment gives them.

        Parameters
        ----------
        environment
            Variables by name; by default those of the process.

        Raises
        ------
        ConfigError
            For a value that cannot work, or an unknown `DWCP_*` variable.
        """
        environment = os.environ if environment is None else environment
        _refuse_unknown(environment)
        values: dict[str, Any] = {
            key: v.kind.parse(v.name, environment.get(v.name, v.default)) for key, v in _BY_FIELD.items()
        }
        if values["heartbeat_s"] > values["session_timeout_s"] / 2:
            allowed = f"at most half of DWCP_SESSION_TIMEOUT_S={values['session_timeout_s']:g}"
            raise ConfigError("DWCP_HEARTBEAT_S", values["heartbeat_s"], allowed)
        if values["output_format"] == "avro-confluent" and not values["schema_registry_url"]:
            raise ConfigError("DWCP_OUTPUT_FORMAT", "avro-confluent", "avro-confluent needs DWCP_SCHEMA_REGISTRY_URL")
        check_security(values)
        return cls(topic_names=_topic_names(environment), **values)

    def name_of(self, topic: Topic) -> str:
        """Name of a topic on the broker."""
        return self.topic_names[topic]

    @property
    def bootstrap(self) -> str:
        """The brokers as Kafka clients take them: `host:port,host:port`."""
        return ",".join(self.brokers)

    def table(self) -> list[Effective]:
        """Every variable with its effective value, its default and its meaning."""
        rows = [
            Effective(variable.name, variable.kind.show(getattr(self, key)), variable.default, variable.meaning)
            for key, variable in _BY_FIELD.items()
        ]
        for topic, name in self.topic_names.items():
            rows.append(Effective(variable_of(topic), name, topic.name, f"name of the {topic.kind} topic"))
        return rows


_BY_FIELD: dict[str, Variable] = {f.name: f.metadata["variable"] for f in fields(Settings) if "variable" in f.metadata}


def variable_of(topic: Topic) -> str:
    """Variable that overrides a topic's name, e.g. `DWCP_TOPIC_INGEST_DEAD_LETTER`."""
    return f"{_TOPIC_PREFIX}{topic.dataset}_{topic.stage}".upper().replace("-", "_")


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    known = {v.name for v in _BY_FIELD.values()} | {variable_of(t) for t in TOPICS}
    for name in sorted(environment):
        if name.startswith("DWCP_") and name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.75)
            hint = f"no such setting; did you mean {near[0]}?" if near else "no such setting; see `dwcp config`"
            # A secret under a misspelt name is a secret still.
            value = kind.HIDDEN if _SECRET_NAME.search(name) else kind.masked(environment[name])
            raise ConfigError(name, value, hint)


def _topic_names(environment: Mapping[str, str]) -> dict[Topic, str]:
    names: dict[Topic, str] = {}
    known = kind.matching(kind.TOPIC_NAME, "1 to 249 letters, digits, '.', '_' or '-'")
    for topic in TOPICS:
        variable = variable_of(topic)
        name = known.parse(variable, environment.get(variable, topic.name))
        if name in names.values():
            raise ConfigError(variable, name, "a name that no other topic has")
        names[topic] = name
    return names
