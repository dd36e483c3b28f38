"""The job on Kafka Streams: its jars from Maven, and `Job.java` compiled beside them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.kafka import CACHE, VERSION, jars

SOURCE: Final = Path(__file__).parent / "Job.java"


def missing() -> str:
    """What is missing to run it, or nothing."""
    return "" if shutil.which("javac") else "no javac (a JDK 17 is needed)"


def command() -> list[str]:
    """What starts it; downloads and compiles first."""
    libraries = f"{jars('kafka-streams', CACHE.with_name(f'kafka-streams-{VERSION}'))}/*"
    classes = CACHE.with_name("peers-java")
    subprocess.run(["javac", "-cp", libraries, "-d", classes, SOURCE], check=True, stdout=sys.stderr)
    return ["java", "-Xmx1g", "-cp", f"{classes}:{libraries}", "Job"]
