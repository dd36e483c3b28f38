"""Every variable is checked; nothing is ignored."""

from __future__ import annotations

import pytest

from schemas.error import ConfigError
from schemas.topic import DEAD_LETTER, NETWORK_RAW, TOPICS
from streams.settings import Settings, variable_of


def refused(**environment: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment(environment)
    return caught.value


def test_defaults_work() -> None:
    settings = Settings.from_environment({})
    assert settings.bootstrap == "127.0.0.1:9092"
    assert settings.web_host == "127.0.0.1"
    assert {settings.name_of(t) for t in TOPICS} == {t.name for t in TOPICS}


@pytest.mark.parametrize(
    ("text", "brokers"),
    [
        ("kafka://h:1", ("h:1",)),
        ("h:1", ("h:1",)),
        ("kafka://a:1;kafka://b:2", ("a:1", "b:2")),
        ("kafka://a:1,b:2", ("a:1", "b:2")),
        ("[::1]:9092", ("[::1]:9092",)),
    ],
)
def test_broker_forms(text: str, brokers: tuple[str, ...]) -> None:
    assert Settings.from_environment({"BROKER_URL": text}).brokers == brokers


@pytest.mark.parametrize("text", ["", "h", "kafka://", "kafka://h", "h:0", "h:65536", "h:1,", "http://h:1", "h:x"])
def test_broker_that_cannot_be(text: str) -> None:
    assert refused(BROKER_URL=text).variable == "BROKER_URL"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DWCP_WEB_PORT", "0"), ("DWCP_WEB_PORT", "65536"), ("DWCP_WEB_PORT", "http"), ("DWCP_WEB_PORT", "80.5"),
        ("DWCP_SESSION_TIMEOUT_S", "nan"), ("DWCP_SESSION_TIMEOUT_S", "inf"), ("DWCP_COMMIT_INTERVAL_S", "0"),
        ("DWCP_BATCH_MAX_RECORDS", "0"), ("DWCP_LINGER_MS", "-1"), ("DWCP_LOG_LEVEL", "loud"),
        ("DWCP_COMPRESSION", "rar"),
        ("DWCP_FALSE_ALARMS_PER_NODE_DAY", "0"), ("DWCP_FALSE_ALARMS_PER_LINK_DAY", "many"),
        ("DWCP_FEEDBACK_RATE", "0.6"), ("DWCP_FEEDBACK_RATE", "-0.1"),
        ("DWCP_AMST_FACTORS", "lan=1"), ("DWCP_AMST_FACTORS", "dc"), ("DWCP_AMST_FACTORS", "dc=0"),
        ("DWCP_AMST_FACTORS", "dc=11"), ("DWCP_AMST_FACTORS", "dc=nan"), ("DWCP_AMST_FACTORS", "dc=1,dc=2"),
        ("DWCP_HORIZONS", "15min"), ("DWCP_HORIZONS", "5"), ("DWCP_HORIZONS", "90s"), ("DWCP_HORIZONS", "0min"),
        ("DWCP_HORIZONS", "25h"), ("DWCP_HORIZONS", "60min,1h"),
        ("DWCP_HORIZONS", "1min,2min,3min,4min,5min,6min,7min,8min,9min"),
        ("DWCP_APP_ID", ""), ("DWCP_APP_ID", "a b"), ("DWCP_WEB_HOST", ""), ("DWCP_TOPIC_NETWORK_RAW", "a/b"),
    ],
)  # fmt: skip
def test_bad_value_names_variable_value_and_what_is_allowed(variable: str, value: str) -> None:
    error = refused(**{variable: value})
    assert (error.variable, error.value, error.exit_code) == (variable, value, 78)
    assert variable in str(error)
    assert error.allowed


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("", ()), ("60min", (60,)), ("60min, 1min,5min ,30min", (1, 5, 30, 60)), ("24h,1h", (60, 1440))],
)
def test_horizons_are_whole_minutes_shortest_first(text: str, minutes: tuple[int, ...]) -> None:
    settings = Settings.from_environment({"DWCP_HORIZONS": text})
    assert settings.horizons == tuple(60_000 * one for one in minutes)
    shown = {row.name: row.value for row in settings.table()}["DWCP_HORIZONS"]
    assert Settings.from_environment({"DWCP_HORIZONS": shown}).horizons == settings.horizons


@pytest.mark.parametrize(
    ("text", "factors"), [("", (1, 1, 1, 1)), ("edge=2", (1, 1, 1, 2)), ("wan=.5, dc=0.015625", (0.015625, 1, 0.5, 1))]
)
def test_factors_of_streams_are_by_link_type(text: str, factors: tuple[float, ...]) -> None:
    settings = Settings.from_environment({"DWCP_AMST_FACTORS": text})
    assert settings.amst_factors == factors
    shown = {row.name: row.value for row in settings.table()}["DWCP_AMST_FACTORS"]
    assert Settings.from_environment({"DWCP_AMST_FACTORS": shown}).amst_factors == factors


def test_unknown_variable_suggests_the_nearest() -> None:
    assert "DWCP_WEB_PORT" in refused(DWCP_WEB_PROT="1").allowed
    assert "dwcp config" in refused(DWCP_ZZZ="1").allowed


def test_heartbeat_must_fit_the_session() -> None:
    assert refused(DWCP_SESSION_TIMEOUT_S="5", DWCP_HEARTBEAT_S="3").variable == "DWCP_HEARTBEAT_S"


@pytest.mark.parametrize(
    "url", ["", "http://h:8081", "https://h/registry", "http://a:1,https://b:2", "http://a:1, http://b:2", "mock://x"]
)
def test_registry_forms(url: str) -> None:
    assert Settings.from_environment({"DWCP_SCHEMA_REGISTRY_URL": url}).schema_registry_url == url


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DWCP_SCHEMA_REGISTRY_URL", "h:8081"), ("DWCP_SCHEMA_REGISTRY_URL", "http://"),
        ("DWCP_SCHEMA_REGISTRY_URL", "http://me:secret@h"), ("DWCP_SCHEMA_REGISTRY_URL", "http://a,b"),
        ("DWCP_SCHEMA_REGISTRY_AUTH", "nobody"), ("DWCP_OUTPUT_FORMAT", "protobuf"),
        ("DWCP_OUTPUT_FORMAT", "avro-confluent"),
    ],
)  # fmt: skip
def test_a_format_or_registry_that_cannot_be(variable: str, value: str) -> None:
    assert refused(**{variable: value}).variable == variable


def test_the_password_of_the_registry_is_not_shown() -> None:
    settings = Settings.from_environment({"DWCP_SCHEMA_REGISTRY_AUTH": "me:secret"})
    assert settings.schema_registry_auth == "me:secret"
    assert all("secret" not in row.value for row in settings.table())


def test_topic_names_can_be_set_but_not_shared() -> None:
    settings = Settings.from_environment({"DWCP_TOPIC_NETWORK_RAW": "net"})
    assert settings.name_of(NETWORK_RAW) == "net"
    assert refused(DWCP_TOPIC_NETWORK_RAW=DEAD_LETTER.name).allowed == "a name that no other topic has"
    assert variable_of(DEAD_LETTER) == "DWCP_TOPIC_INGEST_DEAD_LETTER"


def test_table_shows_every_variable_and_round_trips() -> None:
    environment = {"BROKER_URL": "kafka://a:1;b:2", "DWCP_WEB_PORT": "7000", "DWCP_TOPIC_DRIFT_ALERT": "drift"}
    settings = Settings.from_environment(environment)
    table = {row.name: row for row in settings.table()}
    assert (table["BROKER_URL"].value, table["DWCP_TOPIC_DRIFT_ALERT"].value) == ("a:1,b:2", "drift")
    assert all(row.meaning for row in table.values())
    assert Settings.from_environment({name: row.value for name, row in table.items()}) == settings


@pytest.mark.parametrize(
    "url", ["postgresql://me:hidden@db:5432/x", "postgres://me:hid/d@en@db/x", "postgresql://me@db/x?password=hidden"]
)
def test_the_database_s_password_is_not_shown(url: str) -> None:
    rows = {row.name: row.value for row in Settings.from_environment({"DWCP_POSTGRES_URL": url}).table()}
    assert "*****" in rows["DWCP_POSTGRES_URL"]
    assert "me" in rows["DWCP_POSTGRES_URL"]
    assert not any("hid" in value for value in rows.values())
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment({"DWCP_POSTGRES_URI": url})
    assert "hid" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"), [("DWCP_POSTGRES_URL", "me:hidden@db/x"), ("DWCP_POSTGRES_URL", "mysql://me:hidden@db/x"),
                        ("DWCP_POSTGRES_TABLES", ""), ("DWCP_POSTGRES_TABLES", "a b")],
)  # fmt: skip
def test_what_is_no_database_is_said(name: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment({name: value})
    assert caught.value.variable == name
    assert "hidden" not in str(caught.value)
