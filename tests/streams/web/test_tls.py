"""The pages over HTTPS: those who trust the authority get in, and nobody without TLS."""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path

import pytest

from schemas.error import ConfigError
from streams.security import web_tls_context
from streams.settings import Settings
from tests.certificate import authority
from tests.streams.web.server import ask, guarded, serving


def test_pages_are_served_with_the_certificate_of_the_settings(tmp_path: Path) -> None:
    ca = authority(tmp_path)
    environment = {
        "DWCP_WEB_TLS_CERT": str(tmp_path / "broker.pem"), "DWCP_WEB_TLS_KEY": str(tmp_path / "broker.key")
    }  # fmt: skip
    context = web_tls_context(Settings.from_environment(environment))
    with serving(guarded(environment), context) as port:
        trusting = http.client.HTTPSConnection("127.0.0.1", port, context=ssl.create_default_context(cafile=str(ca)))
        trusting.request("GET", "/api/v3/show")
        assert trusting.getresponse().status == 200
        trusting.close()
        doubting = http.client.HTTPSConnection("127.0.0.1", port)
        with pytest.raises(ssl.SSLCertVerificationError):
            doubting.request("GET", "/api/v3/show")
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            ask(port, "GET", "/api/v3/show")


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    authority(tmp_path)
    environment = {"DWCP_WEB_TLS_CERT": str(tmp_path / "broker.pem"), "DWCP_WEB_TLS_KEY": str(tmp_path / "ca.key")}
    with pytest.raises(ConfigError, match="DWCP_WEB_TLS_CERT"):
        web_tls_context(Settings.from_environment(environment))
