"""Progress on stderr, where somebody looks at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Show = Callable[[int, str], None]
"""Called with how much is done and a word on it."""


@contextmanager
def progress(verb: str, total: int | None, unit: str, quiet: bool) -> Iterator[Show]:
    """A bar on stderr, without a total one of unknown length; nothing when that is no terminal, or when quiet."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit),
        TextColumn("{task.fields[note]}"), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as bar:
        task = bar.add_task(verb, total=total, note="")
        yield lambda done, note: bar.update(task, completed=done, note=note)
