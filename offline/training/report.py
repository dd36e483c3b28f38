"""Reports: what a training found, as Markdown with figures beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from offline.training.gate import SIGNS
from schemas.model import Gate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPORT_FILE: Final = "report.md"


class Report:
    """A document that grows from top to bottom.

    Parameters
    ----------
    title
        Its heading.
    """

    def __init__(self, title: str) -> None:
        self._parts = [f"# {title}"]
        self._figures: list[tuple[str, Figure]] = []

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._parts.append(f"## {text}")

    def text(self, text: str) -> None:
        """Add a paragraph."""
        self._parts.append(text)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Add a table; numbers get four digits."""
        lines = [header, ["---"] * len(header), *([_cell(value) for value in row] for row in rows)]
        self._parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))

    def gates(self, gates: Sequence[Gate]) -> None:
        """Add a table of gates: what was reached, what was asked, and by how much it was missed."""
        rows = [
            (one.gate, one.value, f"{SIGNS[one.comparison]} {one.limit:.4g}", "yes" if one.passed else "**no**")
            for one in gates
        ]
        self.table(("gate", "reached", "required", "passed"), rows)

    def figure(self, name: str, figure: Figure, caption: str = "") -> None:
        """Add a figure, written as `<name>.png`."""
        self._figures.append((name, figure))
        self._parts.append(f"![{caption or name}]({name}.png)")

    def write(self, directory: Path) -> Path:
        """Write `report.md` and its figures; returns the report's path."""
        directory.mkdir(parents=True, exist_ok=True)
        for name, figure in self._figures:
            figure.savefig(directory / f"{name}.png", dpi=120)
        path = directory / REPORT_FILE
        path.write_text("\n\n".join(self._parts) + "\n")
        return path


def make_figure(rows: int = 1, columns: int = 1, width: float = 9.0, height: float = 4.0) -> Figure:
    """A figure without a display: `figure.subplots` has been called, axes are `figure.axes`."""
    from matplotlib.figure import Figure  # a second to import, and only reports need it

    figure = Figure(figsize=(width, height * rows), layout="constrained")
    figure.subplots(rows, columns)
    return figure


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
