"""Distinct links have distinct keys."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.key import key_of, keys_of

ids = st.text(alphabet=":%3Aa5-", min_size=1, max_size=6)


def test_plain_ids_stand_in_the_key_as_they_are() -> None:
    assert keys_of(["node-1", "7"], ["node-2", "eu/west é"]) == [b"node-1:node-2", "7:eu/west é".encode()]
    assert keys_of(["node-1"]) == [b"node-1"]
    assert keys_of([], []) == []


@given(st.lists(st.tuples(ids, ids), max_size=20))
def test_no_two_links_have_one_key(links: list[tuple[str, str]]) -> None:
    keys = keys_of([a for a, _ in links], [b for _, b in links])
    assert keys == [key_of(a, b) for a, b in links]
    assert len(set(keys)) == len(set(links))


@pytest.mark.parametrize("node", ["a:b", "a%3Ab", "a%b"])
def test_a_node_is_never_taken_for_a_link(node: str) -> None:
    parts = [node, *node.replace("%3A", ":").split(":")]
    assert key_of(node) not in {key_of(a, b) for a, b in product(parts, repeat=2)}


def test_one_odd_row_changes_no_other() -> None:
    assert keys_of(["a", "a:b"], ["b", "c"]) == [b"a:b", b"a%3Ab:c"]
