"""An app with two bugs: ingest refuses node n7, and the network step fails on node n8."""

from agents import ingest
from online_models.bandwidth.state import NetworkState
from schemas.batch import Batch, Rejection, Result
from schemas.error import ValidationError
from schemas.ingest import NetworkIngest
from schemas.topic import DRIFT_ALERT, NETWORK_FEATURES, NETWORK_FORECAST, NETWORK_KEYED, NETWORK_RAW, NETWORK_SCORE
from streams.agent import declare
from streams.application import application


class RefusingIngest(NetworkIngest):
    """Takes n7 for a name that cannot be."""

    def step(self, batch: Batch) -> Result:
        """Reject the records of n7."""
        result = super().step(batch)
        bad = [row for row, node in enumerate(batch.columns["node_id"]) if node == "n7"]
        output = result.outputs[NETWORK_KEYED]
        good = [i for i, row in enumerate(output.row.tolist()) if row not in bad]
        columns = {name: column[good] for name, column in output.columns.items()}  # type: ignore[call-overload]
        kept = output._replace(row=output.row[good], columns=columns, key=[(output.key or [])[i] for i in good])
        rejected = [Rejection(row, ValidationError("enum", "n7 is not a node")) for row in bad]
        return Result({NETWORK_KEYED: kept}, [*result.rejected, *rejected])


class FailingState(NetworkState):
    """Divides by what n8 does not have."""

    def step(self, batch: Batch) -> Result:
        """Fail on the records of n8."""
        if b"n8:hub" in batch.key:
            raise ZeroDivisionError("division by zero")
        return super().step(batch)


app = application(
    (
        declare("network-ingest", source=NETWORK_RAW, state=RefusingIngest, publishes=(NETWORK_KEYED,)),
        *ingest.agents[1:],
        declare(
            "network",
            source=NETWORK_KEYED,
            state=FailingState,
            publishes=(NETWORK_FEATURES, NETWORK_FORECAST, NETWORK_SCORE, DRIFT_ALERT),
        ),
    )
)
