"""How fast TCP goes: the steady-state throughput of one stream and of many.

The model is the square-root law of M. Mathis, J. Semke, J. Mahdavi and T. Ott, "The
macroscopic behavior of the TCP congestion avoidance algorithm", CCR 27(3), 1997::

    rate = MSS / RTT * C / sqrt(p),   C = sqrt(3/2)

and parallel streams add up until they fill the path (T. Hacker, B. Athey, B. Noble,
"The end-to-end performance effects of parallel TCP sockets on a lossy wide-area
network", IPDPS 2002). Above some 5 % loss, timeouts dominate and the PFTK formula
(J. Padhye et al., SIGCOMM 1998) is lower; links here stay below that except when failed.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

MSS_BYTES: Final = 1460
MATHIS_C: Final = float(np.sqrt(1.5))

F64 = NDArray[np.float64]


def mathis_mbps(rtt_ms: ArrayLike, loss: ArrayLike) -> F64:
    """Throughput of one long-lived TCP stream, Mbps; infinite without loss.

    Parameters
    ----------
    rtt_ms
        Round-trip time, ms, > 0.
    loss
        Packet loss ratio, 0..1.

    >>> round(float(mathis_mbps(100.0, 1e-4)), 1)
    14.3
    """
    with np.errstate(divide="ignore"):
        rate: Any = MSS_BYTES * 8e-3 / np.asarray(rtt_ms, np.float64) * MATHIS_C / np.sqrt(loss)
    return np.asarray(rate, np.float64)


def parallel_mbps(streams: ArrayLike, rtt_ms: ArrayLike, loss: ArrayLike, available_mbps: ArrayLike) -> F64:
    """Throughput of parallel streams, Mbps: their sum, limited by what the path has left.

    >>> float(parallel_mbps(64, 100.0, 1e-4, 500.0))
    500.0
    """
    return np.minimum(np.asarray(streams, np.float64) * mathis_mbps(rtt_ms, loss), available_mbps)


class Loaded(NamedTuple):
    """What parallel streams make of a path: what arrives, and what all of the path's traffic meets."""

    goodput_mbps: F64
    loss: F64
    rtt_ms: F64


def load_path(
    streams: ArrayLike, rtt_ms: ArrayLike, loss: ArrayLike, available_mbps: ArrayLike, buffer_ms: ArrayLike
) -> Loaded:
    """A path that long-lived parallel streams load themselves: beyond what it has left they fill its queue, then lose.

    Each stream goes by the square-root law. Streams that would send more than there is are slowed by a longer queue
    (up to the mean occupancy of a drop-tail buffer, which grows with their number: G. Appenzeller, I. Keslassy, N.
    McKeown, "Sizing router buffers", SIGCOMM 2004), and where that is full, by as much loss as slows them enough (E.
    Altman, D. Barman, B. Tuffin, M. Vojnovic, "Parallel TCP sockets: simple model, throughput and validation",
    INFOCOM 2006). What was lost is sent again.

    Parameters
    ----------
    rtt_ms, loss, available_mbps
        Of the path without them.
    buffer_ms
        Delay of a full buffer.

    >>> [round(float(load_path(n, 50.0, 1e-4, 200.0, 20.0).goodput_mbps)) for n in (2, 8, 256)]
    [57, 200, 186]
    """
    n, rtt, free = (np.asarray(x, np.float64) for x in (streams, rtt_ms, available_mbps))
    wanted = n * mathis_mbps(rtt, loss)
    longest = rtt + np.asarray(buffer_ms, np.float64) * (1.0 - 0.5 / np.sqrt(n))
    full = wanted > free
    slowed = np.where(full, np.minimum(longest, rtt * wanted / free), rtt)
    needed = (n * MSS_BYTES * 8e-3 * MATHIS_C / (slowed * free)) ** 2
    lost = np.minimum(np.where(full, np.maximum(needed, loss), loss), 0.5)
    return Loaded(np.minimum(wanted, free) * (1.0 - lost), lost, slowed)
