"""How clients reach a secured Kafka, and the page its readers: one place for every client and server.

Kafka clients are of two makes: librdkafka takes a dictionary, aiokafka (under Faust)
an `ssl.SSLContext`. Both verify the broker's certificate and host name, always.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from schemas.error import ConfigError

if TYPE_CHECKING:
    from streams.settings import Settings

PROTOCOLS: Final = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
MECHANISMS: Final = ("plain", "scram-sha-256", "scram-sha-512")


def check_security(values: Mapping[str, Any]) -> None:
    """Check what the settings of security say together.

    Raises
    ------
    ConfigError
        Naming what is missing, or what would be ignored.
    """
    protocol = values["kafka_security_protocol"]
    for field, name in (("kafka_sasl_username", "USERNAME"), ("kafka_sasl_password", "PASSWORD")):
        if bool(values[field]) != protocol.startswith("sasl"):
            allowed = f"set exactly when DWCP_KAFKA_SECURITY_PROTOCOL (now {protocol}) is sasl_ssl or sasl_plaintext"
            raise ConfigError(f"DWCP_KAFKA_SASL_{name}", _shown(values[field]), allowed)
    for field, name in (("kafka_ssl_ca", "CA"), ("kafka_ssl_cert", "CERT"), ("kafka_ssl_key", "KEY")):
        if values[field] and not protocol.endswith("ssl"):
            allowed = f"unset unless DWCP_KAFKA_SECURITY_PROTOCOL (now {protocol}) is ssl or sasl_ssl"
            raise ConfigError(f"DWCP_KAFKA_SSL_{name}", values[field], allowed)
    for cert, key, prefix in (
        ("kafka_ssl_cert", "kafka_ssl_key", "DWCP_KAFKA_SSL"),
        ("web_tls_cert", "web_tls_key", "DWCP_WEB_TLS"),
    ):
        if bool(values[cert]) != bool(values[key]):
            missing, there = ("KEY", "CERT") if values[cert] else ("CERT", "KEY")
            raise ConfigError(f"{prefix}_{missing}", "", f"a PEM file, because {prefix}_{there} is set")


def client_config(settings: Settings) -> dict[str, Any]:
    """What every librdkafka client begins with: the brokers, and how to be let in."""
    config: dict[str, Any] = {"bootstrap.servers": settings.bootstrap}
    protocol = settings.kafka_security_protocol
    if protocol == "plaintext":
        return config
    config["security.protocol"] = protocol
    if protocol.startswith("sasl"):
        config["sasl.mechanism"] = settings.kafka_sasl_mechanism.upper()
        config["sasl.username"] = settings.kafka_sasl_username
        config["sasl.password"] = settings.kafka_sasl_password
    if protocol.endswith("ssl"):
        config["ssl.ca.location"] = settings.kafka_ssl_ca or "probe"
        if settings.kafka_ssl_cert:
            config["ssl.certificate.location"] = settings.kafka_ssl_cert
            config["ssl.key.location"] = settings.kafka_ssl_key
    return config


def tls_context(settings: Settings) -> ssl.SSLContext:
    """TLS towards the brokers.

    Raises
    ------
    ConfigError
        When a file is no certificate or key, or they do not belong together.
    """
    try:
        context = ssl.create_default_context(cafile=settings.kafka_ssl_ca or None)
    except (ssl.SSLError, OSError) as exc:
        raise ConfigError("DWCP_KAFKA_SSL_CA", settings.kafka_ssl_ca, f"certificates as PEM ({exc})") from exc
    _load(context, settings.kafka_ssl_cert, settings.kafka_ssl_key, "DWCP_KAFKA_SSL_CERT")
    return context


def web_tls_context(settings: Settings) -> ssl.SSLContext | None:
    """TLS of the worker's own pages; None where they are plain HTTP.

    Raises
    ------
    ConfigError
        As of `tls_context`.
    """
    if not settings.web_tls_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    _load(context, settings.web_tls_cert, settings.web_tls_key, "DWCP_WEB_TLS_CERT")
    return context


def _load(context: ssl.SSLContext, cert: str, key: str, variable: str) -> None:
    if not cert:
        return

    def refuse() -> str:
        # Otherwise OpenSSL would ask on the terminal for the password of an encrypted key.
        raise ConfigError(variable, cert, "with a key that has no password")

    try:
        context.load_cert_chain(cert, key, password=refuse)
    except (ssl.SSLError, OSError) as exc:
        raise ConfigError(variable, cert, f"a PEM certificate and its key ({exc})") from exc


def _shown(secret: str) -> str:
    return "*****" if secret else ""
