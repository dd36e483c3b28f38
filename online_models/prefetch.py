"""Rows are asked for before their turn comes.

States are larger than caches and keys come in no order, so most of what a step costs is waiting for
memory. A processor that is told which row is wanted next loads it while it works on others.
"""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from online_models.slot import LINE

AHEAD: Final = 6
"""Rows between being asked for and being used."""


@intrinsic
def _ask(_: Any, address: Any) -> Any:
    """LLVM's prefetch, for reading, into every cache."""

    def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        wanted = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        name = "llvm.prefetch.p0"
        known = builder.module.globals.get(name) or ir.Function(builder.module, wanted, name)
        builder.call(known, [builder.inttoptr(arguments[0], pointer), number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(types.uintp), emit


@njit(cache=True)
def ask_ahead(rows: NDArray[Any], slot: NDArray[Any], i: int, first: int, lines: int) -> None:
    """Ask for some lines of the row that is `AHEAD` turns after turn `i`.

    Parameters
    ----------
    rows
        Structured array; its rows are whole lines (`online_models.slot.lined_dtype`).
    slot
        Row of each turn.
    first, lines
        Which lines, of each row.
    """
    if i + AHEAD < len(slot):
        at = rows.ctypes.data + slot[i + AHEAD] * rows.itemsize + LINE * first
        for k in range(lines):
            _ask(at + LINE * k)
