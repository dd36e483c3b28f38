"""The way out when going on would lose records."""

from __future__ import annotations

import logging
import os
import sys
from typing import NoReturn

from schemas.error import DwcpError

_log = logging.getLogger(__name__)


def die(error: DwcpError) -> NoReturn:
    """End the process at once with the error's exit code.

    Nothing is committed and nothing is cleaned up: an orderly stop would commit, and
    a restart replays everything after the last commit.
    """
    _log.critical("%s; ending with exit code %d, a restart goes on from the last commit", error, error.exit_code)
    logging.shutdown()
    sys.stderr.flush()
    os._exit(error.exit_code)
