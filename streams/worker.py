"""Faust's worker with checks before the start, and our exit codes."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NoReturn

import faust

from schemas import json_reader, json_writer, stamp
from schemas.error import DwcpError, InfraError
from schemas.topic import INPUTS, KEYED
from streams import librdkafka
from streams.agent import Agent
from streams.changelog import topic_ids
from streams.decision import log_level
from streams.preflight import check_broker, check_port
from streams.settings import Settings
from streams.topic import admin

if TYPE_CHECKING:
    from streams.application import Application

_DEFAULT_LOG_LEVEL: Final = Settings.from_environment({}).log_level


class Worker(faust.Worker):
    """What `faust -A app worker` runs."""

    app: Application

    def __init__(self, app: Application, *args: Any, loglevel: Any = None, **kwargs: Any) -> None:
        level = log_level(app.settings)
        super().__init__(app, *args, loglevel=loglevel if level == _DEFAULT_LOG_LEVEL else level, **kwargs)

    def execute_from_commandline(self) -> NoReturn:
        """Check, compile, run; 70 when a service crashed."""
        try:
            settings = self.app.settings
            if self.app.conf.web_enabled:
                check_port(self.app.conf.web_bind, self.app.conf.web_port)
            self.app.partition_counts = check_broker(settings)
            self.app.wire.open(topic for agent in self.app.declared.values() for topic in agent.publishes)
            self.app.topic_ids = topic_ids(admin(settings), [settings.name_of(t) for t in (*INPUTS, *KEYED)])
        except DwcpError as exc:
            fail(exc)
        warm(self.app.declared.values())
        try:
            super().execute_from_commandline()
        except SystemExit:
            if self.crash_reason is None:
                raise
        finally:
            if self.app.spans is not None:
                self.app.spans.close()
        fail(InfraError(f"{type(self.crash_reason).__name__}: {self.crash_reason}"))


def warm(agents: Iterable[Agent]) -> None:
    """Compile all that these agents run, and what reads and writes for them."""
    for agent in agents:
        agent.warm()
    json_reader.warm()
    json_writer.warm()
    stamp.warm()
    librdkafka.warm()


def fail(error: DwcpError) -> NoReturn:
    """Say what is wrong in one line on stderr and exit with the error's code."""
    print(f"dwcp: {error}", file=sys.__stderr__, flush=True)
    sys.exit(error.exit_code)
