"""The topic table: no name twice, and every topic has somebody who writes it."""

from __future__ import annotations

from schemas.topic import IN_USE, INPUTS, KEYED, PARTITIONS, SIDECAR, TOPICS
from tests.replay import AGENTS


def test_names_and_kinds_are_distinct() -> None:
    assert len({t.name for t in TOPICS}) == len({t.kind for t in TOPICS}) == len(TOPICS)


def test_every_topic_is_a_workers_or_the_sidecars() -> None:
    assert set(TOPICS) == set(IN_USE) | set(SIDECAR)
    assert not set(IN_USE) & set(SIDECAR)


def test_agents_touch_nothing_that_is_the_sidecars_alone() -> None:
    touched = {topic for agent in AGENTS for topic in (agent.source, *agent.publishes)}
    assert touched >= {*INPUTS, *KEYED}
    assert touched <= set(IN_USE)


def test_what_is_joined_by_node_or_scope_is_partitioned_alike() -> None:
    joined = [t for t in TOPICS if t.key.startswith(("node_id", "scope"))]
    assert {t.partitions for t in joined} == {PARTITIONS}
