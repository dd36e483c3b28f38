"""Pieces of text numbered in the order in which they first came, so that what each means is worked out once.

A token is text and its kind: one text may mean different things in different fields. Texts are
kept in words, the last filled up with zeros, and found by hash, then compared.
"""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import secrets
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from schemas.memory import address_of, byte_at, int_at, lowest_bit, put_int, signed, word_at

_COUNT, _WORDS, SEED, _SLOT, _MASK, _ENTRY, _WORD = range(7)
"""A table's head: its tokens, their words, what hashes begin with, and where its arrays lie."""

_HASH, _KIND, _SIZE, _BEGIN = range(4)
"""Of an entry: a text's hash, the kind, its bytes and its first word."""

_ENTRY_BYTES: Final = 32

_FORGOTTEN: Final = -(1 << 62)
"""No kind."""

_PROBES: Final = 128
"""More collisions are no accident: such a text is not taken."""

_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_HALF: Final = np.uint64(32)
_ONES: Final = np.uint64(0x0101010101010101)
_TOPS: Final = np.uint64(0x8080808080808080)
_QUOTES: Final = np.uint64(0x2222222222222222)
_BACKSLASHES: Final = np.uint64(0x5C5C5C5C5C5C5C5C)


class TokenTable:
    """An empty table.

    Parameters
    ----------
    tokens, words
        Room: tokens, and words of eight bytes for their texts.
    """

    def __init__(self, tokens: int, words: int) -> None:
        self._slot = np.zeros(1 << (2 * tokens - 1).bit_length(), np.int64)
        self._entry = np.zeros((tokens, 4), np.int64)
        self._word = np.zeros(words, np.int64)
        arrays = address_of(self._slot), len(self._slot) - 1, address_of(self._entry), address_of(self._word)
        self._head = np.array([0, 0, secrets.randbits(62), *arrays], np.int64)

    @property
    def address(self) -> int:
        """Of the head, for kernels."""
        return address_of(self._head)

    def __len__(self) -> int:
        return int(self._head[_COUNT])

    def has_room(self, tokens: int, words: int) -> bool:
        """Whether so many more would fit."""
        return len(self) + tokens <= len(self._entry) and int(self._head[_WORDS]) + words <= len(self._word)

    def add(self, kind: int, text: bytes) -> int:
        """Number of a token."""
        return int(_add(np.frombuffer(text + bytes(8), np.uint8), len(text), kind, self.address))

    def forget(self, number: int) -> None:
        """Find a token no more; where it comes again it is a new one."""
        self._entry[number, _KIND] = _FORGOTTEN

    def kinds(self, first: int) -> set[int]:
        """Kinds of the tokens from number `first` on."""
        return set(self._entry[first : len(self), _KIND].tolist())

    def listed(self, kind: int, first: int, end: int) -> tuple[NDArray[np.int64], bytes]:
        """Tokens of a kind among `[first, end)`: their numbers, and their texts as a JSON list.

        Texts of odd kinds are strings without their quotes; of even kinds, values as they were written.
        """
        sizes = self._entry[first:end, _SIZE]
        number, text = np.empty(len(sizes), np.int64), np.empty(int(sizes.sum()) + 3 * len(sizes) + 2, np.uint8)
        count, size = _list(first, end, kind, number, text, self.address)
        return number[:count], text[:size].tobytes()


@njit(cache=True)
def _cut(word: np.uint64, size: int) -> np.uint64:
    """The first `size` bytes of a word, less than eight."""
    return word & ((np.uint64(1) << np.uint64(8 * size)) - np.uint64(1))


@njit(cache=True)
def _mixed(state: np.uint64, word: np.uint64) -> np.uint64:
    state = (state ^ word) * _MIX
    return state ^ (state >> _HALF)


@njit(cache=True)
def hash_text(at: int, size: int, seed: int) -> int:
    """Hash of text at an address; up to seven bytes behind it are read."""
    state = np.uint64(seed)
    end = at + size
    while at + 8 <= end:
        state = _mixed(state, word_at(at))
        at += 8
    return signed(_mixed(state, _cut(word_at(at), end - at)))


@njit(cache=True)
def hash_string(at: int, end: int, seed: int) -> tuple[int, int]:
    """As `hash_text`, up to the quote that ends a string, and that quote's address: -1 without one or with escapes."""
    state = np.uint64(seed)
    while at < end:
        word = word_at(at)
        quote, backslash = word ^ _QUOTES, word ^ _BACKSLASHES
        # The lowest bit that is set is that of the first byte which was equal.
        found = (((quote - _ONES) & ~quote) | ((backslash - _ONES) & ~backslash)) & _TOPS
        if found:
            place = lowest_bit(found) >> 3
            if (word >> np.uint64(8 * place)) & np.uint64(0xFF) != np.uint64(0x22):
                return 0, -1
            return signed(_mixed(state, _cut(word, place))), at + place
        state = _mixed(state, word)
        at += 8
    return 0, -1


@njit(cache=True)
def _is_text(at: int, size: int, words: int) -> bool:
    """Whether text at an address is what words hold."""
    while size >= 8:
        if word_at(at) != word_at(words):
            return False
        at += 8
        words += 8
        size -= 8
    return _cut(word_at(at), size) == word_at(words)


@njit(cache=True)
def size_of(number: int, table: int) -> int:
    """Bytes of a token's text."""
    return int_at(int_at(table, _ENTRY) + _ENTRY_BYTES * number, _SIZE)


@njit(cache=True)
def is_token(at: int, number: int, table: int) -> bool:
    """Whether a token's text is what stands at an address."""
    entry = int_at(table, _ENTRY) + _ENTRY_BYTES * number
    return _is_text(at, int_at(entry, _SIZE), int_at(table, _WORD) + 8 * int_at(entry, _BEGIN))


@njit(cache=True)
def find(at: int, size: int, hash_: int, kind: int, table: int) -> tuple[int, int]:
    """Number of a token and its slot: -1 and where it would go, or -1 and -1 when there is no place."""
    slot, mask, entries, words = int_at(table, _SLOT), int_at(table, _MASK), int_at(table, _ENTRY), int_at(table, _WORD)
    place = hash_ & mask
    for _ in range(_PROBES):
        found = int_at(slot, place) - 1
        if found < 0:
            return -1, place
        entry = entries + _ENTRY_BYTES * found
        same = int_at(entry, _HASH) == hash_ and int_at(entry, _SIZE) == size and int_at(entry, _KIND) == kind
        if same and _is_text(at, size, words + 8 * int_at(entry, _BEGIN)):
            return found, place
        place = (place + 1) & mask
    return -1, -1


@njit(cache=True)
def number_of(at: int, size: int, hash_: int, kind: int, table: int) -> int:
    """Number of a token, added when it is new; -1 when there is no place. The caller saw that there is room."""
    found, place = find(at, size, hash_, kind, table)
    if found >= 0 or place < 0:
        return found
    found, begin = int_at(table, _COUNT), int_at(table, _WORDS)
    entry = int_at(table, _ENTRY) + _ENTRY_BYTES * found
    put_int(entry, _HASH, hash_)
    put_int(entry, _KIND, kind)
    put_int(entry, _SIZE, size)
    put_int(entry, _BEGIN, begin)
    words = int_at(table, _WORD)
    while size >= 8:
        put_int(words, begin, signed(word_at(at)))
        at += 8
        begin += 1
        size -= 8
    put_int(words, begin, signed(_cut(word_at(at), size)))
    put_int(int_at(table, _SLOT), place, found + 1)
    put_int(table, _COUNT, found + 1)
    put_int(table, _WORDS, begin + 1)
    return found


@njit(cache=True)
def _add(data: NDArray[np.uint8], size: int, kind: int, table: int) -> int:
    at = np.int64(data.ctypes.data)
    return number_of(at, size, hash_text(at, size, int_at(table, SEED)), kind, table)


@njit(cache=True)
def _list(
    first: int, end: int, kind: int, number: NDArray[np.int64], text: NDArray[np.uint8], table: int
) -> tuple[int, int]:  # fmt: skip
    """Tokens of a kind among `[first, end)`, as a JSON list; how many, and the list's bytes."""
    count = size = 0
    for found in range(first, end):
        entry = int_at(table, _ENTRY) + _ENTRY_BYTES * found
        if int_at(entry, _KIND) != kind:
            continue
        at = int_at(table, _WORD) + 8 * int_at(entry, _BEGIN)
        text[size] = 44 if count else 91
        size += 1
        if kind & 1:
            text[size] = 34
            size += 1
        for k in range(int_at(entry, _SIZE)):
            text[size] = byte_at(at + k)
            size += 1
        if kind & 1:
            text[size] = 34
            size += 1
        number[count] = found
        count += 1
    if not count:
        text[0] = 91
        size = 1
    text[size] = 93
    return count, size + 1
