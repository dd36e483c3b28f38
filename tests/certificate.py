"""Certificates for tests, made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path


def authority(directory: Path) -> Path:
    """A broker's key and certificate, signed by an authority made for the test; the path of its certificate."""

    def openssl(*args: object) -> None:
        subprocess.run(["openssl", *map(str, args)], cwd=directory, check=True, capture_output=True, timeout=60)

    short = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", 1)
    openssl("req", "-x509", *short, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=tests")
    openssl("req", *short[:4], "-nodes", "-keyout", "broker.key", "-out", "broker.csr", "-subj", "/CN=broker")
    (directory / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "broker.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", 1,
            "-extfile", "names", "-out", "broker.pem")  # fmt: skip
    (directory / "broker.keystore").write_text(
        (directory / "broker.key").read_text() + (directory / "broker.pem").read_text()
    )
    return directory / "ca.pem"
