"""`dwcp` teaches, loads lazily, and fails in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from schemas.error import ConfigError, GateFailed, InfraError
from streams import cli

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_listed_command_exists_and_explains_itself(name: str) -> None:
    result = CliRunner().invoke(cli.dwcp, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output
    assert len(result.output.splitlines()) > 5


def test_help_imports_no_command() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from streams.cli import dwcp, COMMANDS; "
        "out = CliRunner().invoke(dwcp, ['--help']).output; assert all(n in out for n in COMMANDS), out; "
        "print([m for m in ('faust', 'numba', 'confluent_kafka', 'numpy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("error", "code"),
    [(ConfigError("X", 1, "2 or 3"), 78), (InfraError("no broker"), 70), (GateFailed("accuracy", 0.9, 0.98), 1)],
)
def test_our_errors_are_one_line_and_their_own_exit_code(
    error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def failing() -> None:
        raise error

    monkeypatch.setattr(cli, "dwcp", failing)
    monkeypatch.setattr(sys, "argv", ["dwcp"])
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    assert exit_info.value.code == code
    assert capsys.readouterr().err == f"dwcp: {error}\n"


def test_a_typo_is_answered_with_what_exists() -> None:
    result = CliRunner().invoke(cli.dwcp, ["dmeo"])
    assert result.exit_code == 2
    assert "No such command 'dmeo'" in result.output
    assert "demo" in result.output.split("No such command", 1)[1]
