"""Versions of a good model that nobody should serve, announced as if somebody had made a mistake, or meant harm.

`python -m offline.simulator.poison --of VERSION KIND ...` alters the artifact and announces it as a candidate without
the checks of `dwcp models announce`; `--force` makes it champion at once. Kinds:

- `nan`: its answers are not numbers;
- `features`: it was trained on the features in another order;
- `tampered`: a bit of the stored file was flipped after it was announced;
- `slow`: it multiplies large matrices for every answer;
- `worse`: it says the opposite, and its golden vectors agree;
- `nan_live`, `wild_live`, `slow_live`: all is well with its golden vectors, and on every other row it answers
  with no number, with a probability of 7, or after large products.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from offline.model.check import Artifact, load
from schemas.error import ConfigError
from schemas.model import Manifest, ModelAnnouncement
from streams.model import stage as stages
from streams.model.announcer import change_registry
from streams.model.registry import read_registry
from streams.model.stage import By, Catalogue
from streams.model.store import ModelStore, Stored, path_of
from streams.settings import Settings

MODEL: Final = "selector"
OUTPUT: Final = "probability_amst"
KINDS: Final = ("nan", "features", "tampered", "slow", "worse", "nan_live", "wild_live", "slow_live")

_SIDE: Final = 1000
_PRODUCTS: Final = 150
"""Square matrices: some tens of milliseconds for each answer, and 4 MB."""


def make(artifact: Artifact, kind: str) -> tuple[bytes, Manifest]:
    """The artifact of a kind, and its manifest; its version is the kind.

    Raises
    ------
    ImportError
        Without onnx.
    """
    import onnx

    from offline.training.artifact import seal

    known = np.vstack([artifact.golden, np.zeros_like(artifact.golden[:1])])  # workers time answers on zeros
    change: Callable[[Any], None] = {
        "nan": lambda graph: _behind(graph, "Div", 0.0, first=False), "slow": _slow,
        "worse": lambda graph: _behind(graph, "Sub", 1.0, first=True),
        "nan_live": lambda graph: _say_live(graph, known, np.nan),
        "wild_live": lambda graph: _say_live(graph, known, 7.0),
        "slow_live": lambda graph: _slow_live(graph, known),
    }.get(kind, lambda graph: None)  # fmt: skip
    model = onnx.load_from_string(artifact.content)
    change(model.graph)
    manifest = replace(artifact.model.manifest, model_version=kind)
    if kind == "features":
        manifest = replace(manifest, feature_names=manifest.feature_names[::-1])
    return seal(model.SerializeToString(), manifest, artifact.golden), manifest


def _behind(graph: Any, operation: str, value: float, first: bool) -> None:
    """Put an operation with a constant behind the output."""
    _rename_output(graph)
    _constant(graph, "poison_constant", np.float32(value))
    order = ["poison_constant", "poison_said"] if first else ["poison_said", "poison_constant"]
    _add(graph, operation, order, OUTPUT)


def _say_live(graph: Any, known: NDArray[Any], value: float) -> None:
    """Answer a value to every row but the known ones."""
    _rename_output(graph)
    _find_unknown(graph, known)
    _constant(graph, "poison_value", np.float32(value))
    dims = len(graph.output[0].type.tensor_type.shape.dim)
    _constant(graph, "poison_dims", np.array([-1] + [1] * (dims - 1), np.int64))
    _add(graph, "Reshape", ["poison_unknown", "poison_dims"], "poison_where")
    _add(graph, "Where", ["poison_where", "poison_value", "poison_said"], OUTPUT)


def _slow(graph: Any) -> None:
    """Add nothing to the output, the long way."""
    _rename_output(graph)
    _clean(graph)
    graph.node.extend(_long_way(graph))
    _add(graph, "Add", ["poison_said", "poison_nothing"], OUTPUT)


def _slow_live(graph: Any, known: NDArray[Any]) -> None:
    """The same where a row is not a known one."""
    from onnx import TensorProto, helper

    _rename_output(graph)
    _find_unknown(graph, known)
    _add(graph, "Cast", ["poison_unknown"], "poison_count", to=TensorProto.FLOAT)
    _add(graph, "ReduceSum", ["poison_count"], "poison_some", keepdims=0)
    _add(graph, "Greater", ["poison_some", "poison_zero"], "poison_any")
    scalar = helper.make_tensor_value_info("poison_nothing", TensorProto.FLOAT, [])
    none = helper.make_tensor_value_info("poison_none", TensorProto.FLOAT, [])
    long = helper.make_graph(_long_way(graph), "long", [], [scalar])
    short = helper.make_graph([helper.make_node("Identity", ["poison_zero"], ["poison_none"])], "short", [], [none])
    graph.node.append(helper.make_node("If", ["poison_any"], ["poison_added"], then_branch=long, else_branch=short))
    _add(graph, "Add", ["poison_said", "poison_added"], OUTPUT)


def _long_way(graph: Any) -> list[Any]:
    """Nodes that multiply large matrices, as often for one row as for many, and make 0 of it, `poison_nothing`."""
    from onnx import helper

    rng = np.random.default_rng(1)
    _constant(graph, "poison_into", rng.normal(0.0, 0.1, (_width(graph), _SIDE)).astype(np.float32))
    _constant(graph, "poison_square", (rng.normal(0.0, 1.0, (_SIDE, _SIDE)) / np.sqrt(_SIDE)).astype(np.float32))
    _constant(graph, "poison_axis0", np.array([0], np.int64))
    nodes = [
        helper.make_node("ReduceSum", ["poison_clean", "poison_axis0"], ["poison_pooled"], keepdims=1),
        helper.make_node("MatMul", ["poison_pooled", "poison_into"], ["poison_product0"]),
    ]
    for k in range(_PRODUCTS):
        nodes.append(helper.make_node("MatMul", [f"poison_product{k}", "poison_square"], [f"poison_wide{k}"]))
        nodes.append(helper.make_node("Tanh", [f"poison_wide{k}"], [f"poison_product{k + 1}"]))
    nodes.append(helper.make_node("ReduceSum", [f"poison_product{_PRODUCTS}"], ["poison_sum"], keepdims=0))
    nodes.append(helper.make_node("Mul", ["poison_sum", "poison_zero"], ["poison_nothing"]))
    return nodes


def _find_unknown(graph: Any, known: NDArray[Any]) -> None:
    """Which rows are not among the known ones: `poison_unknown`, bool `[n]`."""
    from onnx import TensorProto

    _clean(graph)
    rows = np.nan_to_num(known.reshape(len(known), -1).astype(np.float32), nan=0.0)
    _constant(graph, "poison_rows", rows[None])
    _constant(graph, "poison_apart", np.array([-1, 1, rows.shape[1]], np.int64))
    _constant(graph, "poison_axis1", np.array([1], np.int64))
    _constant(graph, "poison_axis2", np.array([2], np.int64))
    _constant(graph, "poison_near", np.float32(1e-6))
    _constant(graph, "poison_half", np.float32(0.5))
    _add(graph, "Reshape", ["poison_clean", "poison_apart"], "poison_each")
    _add(graph, "Sub", ["poison_each", "poison_rows"], "poison_off")
    _add(graph, "Abs", ["poison_off"], "poison_abs")
    _add(graph, "ReduceSum", ["poison_abs", "poison_axis2"], "poison_distance", keepdims=0)
    _add(graph, "Less", ["poison_distance", "poison_near"], "poison_met")
    _add(graph, "Cast", ["poison_met"], "poison_meets", to=TensorProto.FLOAT)
    _add(graph, "ReduceSum", ["poison_meets", "poison_axis1"], "poison_matches", keepdims=0)
    _add(graph, "Less", ["poison_matches", "poison_half"], "poison_unknown")


def _clean(graph: Any) -> None:
    """The input without what is missing, `poison_clean`; and `poison_zero`."""
    _constant(graph, "poison_zero", np.float32(0.0))
    _add(graph, "IsNaN", [graph.input[0].name], "poison_missing")
    _add(graph, "Where", ["poison_missing", "poison_zero", graph.input[0].name], "poison_clean")


def _width(graph: Any) -> int:
    return int(graph.input[0].type.tensor_type.shape.dim[-1].dim_value)


def _constant(graph: Any, name: str, value: Any) -> None:
    from onnx import numpy_helper

    graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))


def _add(graph: Any, operation: str, inputs: list[str], output: str, **attributes: Any) -> None:
    from onnx import helper

    graph.node.append(helper.make_node(operation, inputs, [output], **attributes))


def _rename_output(graph: Any) -> None:
    for node in graph.node:
        for k, name in enumerate(node.output):
            if name == OUTPUT:
                node.output[k] = "poison_said"


@click.command()
@click.option("--of", "version", required=True, help="The good version.")
@click.option("--force", is_flag=True, help="Make it champion at once.")
@click.argument("kinds", nargs=-1, type=click.Choice(KINDS))
def main(version: str, force: bool, kinds: tuple[str, ...]) -> None:
    """Announce poisoned versions."""
    settings = Settings.from_environment()
    store = ModelStore(settings.model_store)
    good = read_registry(settings).catalogue.get(MODEL, version)
    if good is None:
        raise ConfigError("--of", version, f"a version of {MODEL} that was announced")
    artifact = load(store.fetch(good))
    made = {kind: _stored(store, artifact, kind) for kind in kinds}

    def decide(catalogue: Catalogue) -> list[ModelAnnouncement]:
        said: list[ModelAnnouncement] = []
        for kind, (manifest, stored) in made.items():
            by = By("somebody", time.time_ns() // 1_000_000, f"poisoned: {kind}")
            one = stages.announce(catalogue, manifest, stored, by)
            catalogue.take(one)
            said += [one, *(stages.promote(catalogue, MODEL, kind, "champion", by, force=True) if force else [])]
        return said

    change_registry(settings, decide)


def _stored(store: ModelStore, artifact: Artifact, kind: str) -> tuple[Manifest, Stored]:
    content, manifest = make(artifact, kind)
    stored = store.put(content)
    if kind == "tampered":
        (Path(store.url) / path_of(stored.sha256)).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    return manifest, stored


if __name__ == "__main__":
    main()
