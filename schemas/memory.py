"""Memory by address, for kernels: what lies in columns of many types is read without numba knowing their arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from schemas import kernel_cache

kernel_cache.isolate()  # before the kernels of whoever imports this

_BYTE = ir.IntType(8)
_WORD = ir.IntType(64)
_WIDE = ir.IntType(128)


@intrinsic
def float_at(_: Any, address: Any) -> Any:
    """The double at an address, which may be any."""

    def build(_: Any, builder: Any, __: Any, given: Any) -> Any:
        return builder.load(builder.inttoptr(given[0], ir.DoubleType().as_pointer()), align=1)

    return types.float64(types.int64), build


@intrinsic
def byte_at(_: Any, address: Any) -> Any:
    """The byte at an address, int64."""

    def build(_: Any, builder: Any, __: Any, given: Any) -> Any:
        return builder.zext(builder.load(builder.inttoptr(given[0], _BYTE.as_pointer())), _WORD)

    return types.int64(types.int64), build


@intrinsic
def word_at(_: Any, address: Any) -> Any:
    """The eight bytes from an address on, uint64; the first is the lowest. The address may be any."""

    def build(_: Any, builder: Any, __: Any, given: Any) -> Any:
        return builder.load(builder.inttoptr(given[0], _WORD.as_pointer()), align=1)

    return types.uint64(types.int64), build


@intrinsic
def int_at(_: Any, base: Any, index: Any) -> Any:
    """Element of an int64 array by the array's address. Arrays themselves are dear to pass: numba counts references."""

    def build(_: Any, builder: Any, __: Any, given: Any) -> Any:
        return builder.load(builder.gep(builder.inttoptr(given[0], _WORD.as_pointer()), [given[1]]))

    return types.int64(types.int64, types.int64), build


@intrinsic
def put_int(_: Any, base: Any, index: Any, value: Any) -> Any:
    """Set an element of an int64 array by the array's address."""

    def build(_: Any, builder: Any, __: Any, given: Any) -> Any:
        builder.store(given[2], builder.gep(builder.inttoptr(given[0], _WORD.as_pointer()), [given[1]]))
        return given[2]

    return types.int64(types.int64, types.int64, types.int64), build


@intrinsic
def put_byte(_: Any, address: Any, value: Any) -> Any:
    """Set the byte at an address."""

    def build(context: Any, builder: Any, __: Any, given: Any) -> Any:
        builder.store(builder.trunc(given[1], _BYTE), builder.inttoptr(given[0], _BYTE.as_pointer()))
        return context.get_dummy_value()

    return types.none(types.int64, types.int64), build


@intrinsic
def put_word(_: Any, address: Any, word: Any) -> Any:
    """Set the eight bytes from an address on, which may be any; the lowest goes first."""

    def build(context: Any, builder: Any, __: Any, given: Any) -> Any:
        builder.store(given[1], builder.inttoptr(given[0], _WORD.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.none(types.int64, types.uint64), build


@intrinsic
def copy(_: Any, to: Any, source: Any, size: Any) -> Any:
    """Copy bytes from one address to another; the two places do not overlap."""

    def build(context: Any, builder: Any, __: Any, given: Any) -> Any:
        pointer = _BYTE.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, pointer, _WORD, ir.IntType(1)])
        function = builder.module.declare_intrinsic("llvm.memcpy", [pointer, pointer, _WORD], kind)
        places = [builder.inttoptr(given[0], pointer), builder.inttoptr(given[1], pointer)]
        builder.call(function, [*places, given[2], ir.Constant(ir.IntType(1), 0)])
        return context.get_dummy_value()

    return types.none(types.int64, types.int64, types.int64), build


@intrinsic
def bits_of(_: Any, value: Any) -> Any:
    """The 64 bits of a double."""

    def build(_: Any, builder: Any, __: Any, given: Any) -> Any:
        return builder.bitcast(given[0], _WORD)

    return types.uint64(types.float64), build


@intrinsic
def product_high(_: Any, a: Any, b: Any) -> Any:
    """Upper 64 of the 128 bits of a product."""

    def build(_: Any, builder: Any, __: Any, given: Any) -> Any:
        product = builder.mul(builder.zext(given[0], _WIDE), builder.zext(given[1], _WIDE))
        return builder.trunc(builder.lshr(product, ir.Constant(_WIDE, 64)), _WORD)

    return types.uint64(types.uint64, types.uint64), build


@intrinsic
def lowest_bit(_: Any, word: Any) -> Any:
    """Place of the lowest bit that is set, int64; 64 where none is."""

    def build(_: Any, builder: Any, __: Any, given: Any) -> Any:
        return builder.cttz(given[0], ir.IntType(1)(0))

    return types.int64(types.uint64), build


@intrinsic
def leading_zeros(_: Any, word: Any) -> Any:
    """How many bits above the highest one that is set, int64."""

    def build(_: Any, builder: Any, __: Any, given: Any) -> Any:
        return builder.ctlz(given[0], ir.IntType(1)(0))

    return types.int64(types.uint64), build


@intrinsic
def float_of(_: Any, bits: Any) -> Any:
    """The double that has these 64 bits."""

    def build(_: Any, builder: Any, __: Any, given: Any) -> Any:
        return builder.bitcast(given[0], ir.DoubleType())

    return types.float64(types.int64), build


@intrinsic
def signed(_: Any, word: Any) -> Any:
    """The int64 that has the bits of a uint64."""

    def build(_: Any, __: Any, ___: Any, given: Any) -> Any:
        return given[0]

    return types.int64(types.uint64), build


def address_of(array: np.ndarray[Any, Any]) -> int:
    """Where an array begins."""
    found: int = array.__array_interface__["data"][0]
    return found
