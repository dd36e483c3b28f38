"""Who may do what on the broker, least first: what the README lists, and a real broker enforces in `test_acl.py`.

`python -m tests.e2e.acl` prints the rows of the README's table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from app import app
from offline.sidecar.options import TOPICS as KEPT
from schemas.topic import (
    CAPACITY_ALERT,
    CAPACITY_FORECAST,
    CAPACITY_PLAN,
    DEAD_LETTER,
    EXPERIMENT_RESULT,
    EXPERIMENT_STATE,
    IN_USE,
    INPUTS,
    KEYED,
    LATE,
    MODEL_ANNOUNCEMENT,
    MODEL_REJECTION,
    NETWORK_FORECAST,
    OPTIMIZER_REQUEST,
    SIDE,
    STATES,
    SYSTEM_FEEDBACK,
    TOPICS,
    Topic,
)
from streams.web.view import FREQUENT, RARE

GROUP: Final = "dwcp-streams"
OUTPUTS: Final = {topic for agent in app.declared.values() for topic in agent.publishes} - set(KEYED)


class Grants(NamedTuple):
    """What one account may do: operations on topics, and groups that it may read, by how their names begin.

    Tools that commit nothing name a group too, `<DWCP_APP_ID>-recorder` for one, which brokers check.
    Transactional ids are named as topics.
    """

    topics: Mapping[str, frozenset[Topic]]
    groups: tuple[str, ...] = ()
    transactions: tuple[Topic, ...] = ()


def _grants(
    groups: tuple[str, ...] = (), transactions: tuple[Topic, ...] = (), **topics: Iterable[Topic]
) -> Grants:  # fmt: skip
    return Grants({operation: frozenset(names) for operation, names in topics.items()}, groups, transactions)


COMPONENTS: Final = {
    "a Go daemon": _grants(Write=INPUTS),
    "a consumer of forecasts": _grants(Read=[NETWORK_FORECAST], groups=("tuner",)),
    "worker": _grants(
        Read=[*INPUTS, *KEYED, *STATES, *SIDE],
        Write=[*KEYED, *STATES, *OUTPUTS, DEAD_LETTER, LATE, MODEL_REJECTION],
        Delete=STATES, Describe=IN_USE, groups=(GROUP,),
    ),
    "worker, for its page": _grants(Read=[*FREQUENT, *RARE], Write=[SYSTEM_FEEDBACK, OPTIMIZER_REQUEST]),
    "sidecar": _grants(
        Read=[*KEPT, MODEL_ANNOUNCEMENT, EXPERIMENT_STATE],
        Write=[MODEL_ANNOUNCEMENT, EXPERIMENT_STATE, EXPERIMENT_RESULT,
               CAPACITY_FORECAST, CAPACITY_PLAN, CAPACITY_ALERT],
        groups=(GROUP,), transactions=(MODEL_ANNOUNCEMENT,),
    ),
    "`dwcp topics apply`": _grants(Create=TOPICS, Describe=TOPICS, DescribeConfigs=TOPICS, AlterConfigs=TOPICS),
}  # fmt: skip


def bindings(user: str, *components: str, names: Mapping[Topic, str] | None = None) -> list[AclBinding]:
    """The ACLs of an account with the grants of components."""
    made = []
    for component in components:
        for operation, topics in COMPONENTS[component].topics.items():
            wanted = AclOperation[_SPELT.get(operation, operation.upper())]
            made += [_allow(user, ResourceType.TOPIC, (names or {}).get(t, t.name), wanted) for t in topics]
        ids = [(names or {}).get(t, t.name) for t in COMPONENTS[component].transactions]
        made += [_allow(user, ResourceType.TRANSACTIONAL_ID, one, AclOperation.WRITE) for one in ids]
        prefix = ResourcePatternType.PREFIXED
        made += [_allow(user, ResourceType.GROUP, g, AclOperation.READ, prefix) for g in COMPONENTS[component].groups]
    return list(dict.fromkeys(made))


_SPELT: Final = {"DescribeConfigs": "DESCRIBE_CONFIGS", "AlterConfigs": "ALTER_CONFIGS"}


def _allow(
    user: str,
    kind: ResourceType,
    name: str,
    operation: AclOperation,
    pattern: ResourcePatternType = ResourcePatternType.LITERAL,
) -> AclBinding:
    return AclBinding(kind, name, pattern, f"User:{user}", "*", operation, AclPermissionType.ALLOW)


def rows() -> list[str]:
    """The README's rows: each component, and its operations on kinds of topics."""
    return [
        f"| {component} | "
        + "; ".join(
            [f"{operation} on {_named(topics)}" for operation, topics in found.topics.items()]
            + [f"Read on groups `{group}*`" for group in found.groups]
            + [f"Write on the transactional id `{topic.kind}`" for topic in found.transactions]
        )
        + " |"
        for component, found in COMPONENTS.items()
    ]


def _named(topics: frozenset[Topic]) -> str:
    if topics in (frozenset(TOPICS), frozenset(IN_USE)):
        return "all" if topics == frozenset(TOPICS) else "all but those of the sidecar"
    groups = {"`*.raw`": INPUTS, "`*.keyed`": KEYED, "the snapshots `{compression,network,system}.state`": STATES}
    text = [name for name, of in groups.items() if topics >= set(of)]
    rest = topics - {topic for of in groups.values() for topic in of if topics >= set(of)}
    return ", ".join([*text, *(f"`{topic.kind}`" for topic in sorted(rest, key=lambda t: t.kind))])


if __name__ == "__main__":
    print("\n".join(rows()))
