"""Settings of security: what belongs together, what clients get of it, and that no secret is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from schemas.error import ConfigError
from streams.cli import dwcp
from streams.security import client_config, tls_context, web_tls_context
from streams.settings import Settings

SASL = {"DWCP_KAFKA_SASL_USERNAME": "u", "DWCP_KAFKA_SASL_PASSWORD": "p"}
HERE = __file__


def test_without_settings_nothing_is_secured() -> None:
    settings = Settings.from_environment({})
    assert client_config(settings) == {"bootstrap.servers": "127.0.0.1:9092"}
    assert web_tls_context(settings) is None


@pytest.mark.parametrize(
    ("environment", "config"),
    [
        ({"DWCP_KAFKA_SECURITY_PROTOCOL": "SSL"}, {"security.protocol": "ssl", "ssl.ca.location": "probe"}),
        (
            {"DWCP_KAFKA_SECURITY_PROTOCOL": "sasl_plaintext", "DWCP_KAFKA_SASL_MECHANISM": "PLAIN", **SASL},
            {"security.protocol": "sasl_plaintext", "sasl.mechanism": "PLAIN", "sasl.username": "u",
             "sasl.password": "p"},
        ),
        (
            {"DWCP_KAFKA_SECURITY_PROTOCOL": "ssl", "DWCP_KAFKA_SSL_CA": HERE, "DWCP_KAFKA_SSL_CERT": HERE,
             "DWCP_KAFKA_SSL_KEY": HERE},
            {"security.protocol": "ssl", "ssl.ca.location": HERE, "ssl.certificate.location": HERE,
             "ssl.key.location": HERE},
        ),
    ],
)  # fmt: skip
def test_librdkafka_gets_all_of_it(environment: dict[str, str], config: dict[str, str]) -> None:
    found = client_config(Settings.from_environment(environment))
    assert found == {"bootstrap.servers": "127.0.0.1:9092", **config}


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        ({"DWCP_KAFKA_SECURITY_PROTOCOL": "tls"}, "DWCP_KAFKA_SECURITY_PROTOCOL"),
        ({"DWCP_KAFKA_SECURITY_PROTOCOL": "sasl_ssl"}, "DWCP_KAFKA_SASL_USERNAME"),
        ({"DWCP_KAFKA_SECURITY_PROTOCOL": "sasl_ssl", "DWCP_KAFKA_SASL_USERNAME": "u"}, "DWCP_KAFKA_SASL_PASSWORD"),
        (SASL, "DWCP_KAFKA_SASL_USERNAME"),  # it would go out in the clear, or not at all
        ({"DWCP_KAFKA_SSL_CA": HERE}, "DWCP_KAFKA_SSL_CA"),
        ({"DWCP_KAFKA_SECURITY_PROTOCOL": "ssl", "DWCP_KAFKA_SSL_CA": "/nowhere"}, "DWCP_KAFKA_SSL_CA"),
        ({"DWCP_KAFKA_SECURITY_PROTOCOL": "ssl", "DWCP_KAFKA_SSL_CERT": HERE}, "DWCP_KAFKA_SSL_KEY"),
        ({"DWCP_WEB_TLS_KEY": HERE}, "DWCP_WEB_TLS_CERT"),
        ({"DWCP_WEB_TOKEN": "short"}, "DWCP_WEB_TOKEN"),
    ],
)
def test_what_does_not_belong_together_is_refused(environment: dict[str, str], variable: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Settings.from_environment(environment)
    assert raised.value.variable == variable
    assert raised.value.value != "p"
    assert "short" not in str(raised.value)


def test_a_file_that_is_no_certificate_is_named() -> None:
    environment = {"DWCP_KAFKA_SECURITY_PROTOCOL": "ssl", "DWCP_KAFKA_SSL_CA": HERE}
    with pytest.raises(ConfigError, match="DWCP_KAFKA_SSL_CA"):
        tls_context(Settings.from_environment(environment))
    with pytest.raises(ConfigError, match="DWCP_WEB_TLS_CERT"):
        web_tls_context(Settings.from_environment({"DWCP_WEB_TLS_CERT": HERE, "DWCP_WEB_TLS_KEY": HERE}))


def test_no_secret_is_shown(tmp_path: Path) -> None:
    secret = "s3cret-of-the-test"
    environment = {
        "DWCP_KAFKA_SECURITY_PROTOCOL": "sasl_ssl", "DWCP_KAFKA_SASL_USERNAME": "u",
        "DWCP_KAFKA_SASL_PASSWORD": secret, "DWCP_WEB_TOKEN": secret,
    }  # fmt: skip
    assert all(secret not in row.value for row in Settings.from_environment(environment).table())
    for misspelt in ("DWCP_KAFKA_SASL_PASWORD", "DWCP_WEB_TOKEM_SECRET", "DWCP_MODEL_KEYS"):
        with pytest.raises(ConfigError) as raised:
            Settings.from_environment({misspelt: secret})
        assert secret not in str(raised.value)


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_dwcp_config_shows_that_a_secret_is_set_and_never_which(
    monkeypatch: pytest.MonkeyPatch, form: list[str]
) -> None:
    secret = "me:s3cret-of-the-test"
    given = {
        "DWCP_KAFKA_SECURITY_PROTOCOL": "sasl_plaintext", "DWCP_KAFKA_SASL_USERNAME": "worker",
        "DWCP_KAFKA_SASL_PASSWORD": secret, "DWCP_WEB_TOKEN": secret, "DWCP_MODEL_KEY": secret,
        "DWCP_SCHEMA_REGISTRY_AUTH": secret,
    }  # fmt: skip
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    shown = CliRunner().invoke(dwcp, ["config", *form])
    assert shown.exit_code == 0, shown.output
    assert secret not in shown.output
    assert shown.output.count("*****") == 4
