"""Versions of a good model that nobody should serve, announced as if somebody had made a mistake, or meant harm.

`python -m offline.simulator.poison --of VERSION KIND ...` alters the artifact and announces it as a candidate without
the checks of `dwcp models announce`; `--force` makes it champion at once. Kinds:

- `nan`: its answers are not numbers;
- `features`: it was trained on the features in another order;
- `tampered`: a bit of the stored file was flipped after it was announced;
- `slow`: it multiplies large matrices for every answer;
- `worse`: it says the opposite, and its golden vectors agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
from msgspec.structs import replace

from offline.model.check import Artifact, load
from schemas.error import ConfigError
from schemas.model import Manifest
from streams.model import stage as stages
from streams.model.registry import read_registry, write_registry
from streams.model.stage import By
from streams.model.store import ModelStore, path_of
from streams.settings import Settings

MODEL: Final = "selector"
OUTPUT: Final = "probability_amst"
KINDS: Final = ("nan", "features", "tampered", "slow", "worse")

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

    change: Callable[[Any], None] = {
        "nan": lambda graph: _behind(graph, "Div", 0.0, first=False), "slow": _slow,
        "worse": lambda graph: _behind(graph, "Sub", 1.0, first=True),
    }.get(kind, lambda graph: None)  # fmt: skip
    model = onnx.load_from_string(artifact.content)
    change(model.graph)
    manifest = replace(artifact.model.manifest, model_version=kind)
    if kind == "features":
        manifest = replace(manifest, feature_names=manifest.feature_names[::-1])
    return seal(model.SerializeToString(), manifest, artifact.golden), manifest


def _behind(graph: Any, operation: str, value: float, first: bool) -> None:
    """Put an operation with a constant behind the output."""
    from onnx import helper, numpy_helper

    _rename_output(graph)
    graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), "poison_constant"))
    order = ["poison_constant", "poison_said"] if first else ["poison_said", "poison_constant"]
    graph.node.append(helper.make_node(operation, order, [OUTPUT]))


def _slow(graph: Any) -> None:
    """Add nothing to the output, the long way."""
    from onnx import helper, numpy_helper

    _rename_output(graph)
    rng = np.random.default_rng(1)
    into = rng.normal(0.0, 0.1, (graph.input[0].type.tensor_type.shape.dim[-1].dim_value, _SIDE)).astype(np.float32)
    square = (rng.normal(0.0, 1.0, (_SIDE, _SIDE)) / np.sqrt(_SIDE)).astype(np.float32)
    for name, array in (("poison_into", into), ("poison_square", square)):
        graph.initializer.append(numpy_helper.from_array(array, name))
    graph.node.append(helper.make_node("IsNaN", [graph.input[0].name], ["poison_missing"]))
    graph.initializer.append(numpy_helper.from_array(np.array(0.0, np.float32), "poison_zero"))
    graph.node.append(
        helper.make_node("Where", ["poison_missing", "poison_zero", graph.input[0].name], ["poison_known"])
    )
    graph.node.append(helper.make_node("MatMul", ["poison_known", "poison_into"], ["poison_product0"]))
    for k in range(_PRODUCTS):
        graph.node.append(helper.make_node("MatMul", [f"poison_product{k}", "poison_square"], [f"poison_wide{k}"]))
        graph.node.append(helper.make_node("Tanh", [f"poison_wide{k}"], [f"poison_product{k + 1}"]))
    graph.initializer.append(numpy_helper.from_array(np.zeros((_SIDE, 1), np.float32), "poison_nothing"))
    graph.node.append(helper.make_node("MatMul", [f"poison_product{_PRODUCTS}", "poison_nothing"], ["poison_column"]))
    graph.initializer.append(numpy_helper.from_array(np.array([1], np.int64), "poison_axis"))
    graph.node.append(helper.make_node("ReduceSum", ["poison_column", "poison_axis"], ["poison_flat"], keepdims=0))
    shape = graph.output[0].type.tensor_type.shape.dim
    graph.node.append(
        helper.make_node("Add", ["poison_said", "poison_flat" if len(shape) == 1 else "poison_column"], [OUTPUT])
    )


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
    catalogue = read_registry(settings).catalogue
    good = catalogue.get(MODEL, version)
    if good is None:
        raise ConfigError("--of", version, f"a version of {MODEL} that was announced")
    artifact = load(store.fetch(good))
    for kind in kinds:
        content, manifest = make(artifact, kind)
        stored = store.put(content)
        if kind == "tampered":
            path = Path(settings.model_store) / path_of(stored.sha256)
            path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        by = By("somebody", time.time_ns() // 1_000_000, f"poisoned: {kind}")
        said = stages.announce(catalogue, manifest, stored, by)
        catalogue.take(said)
        crowned = stages.promote(catalogue, MODEL, kind, "champion", by, force=True) if force else []
        write_registry(settings, [said, *crowned])  # at once: a sidecar gives a candidate its turn


if __name__ == "__main__":
    main()
