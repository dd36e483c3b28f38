"""What happens to one transfer by HDE and by AMST, given link, host and payload.

HDE encodes (wall and CPU time measured in the bank, slower on a busy host) and sends
what is left over few streams; AMST sends everything over many::

    hde latency  = encode / (1 - 0.7 load) + compressed / rate(4 streams) + 2 rtt
    amst latency = size / rate(n streams) + 2 rtt + setup n

CPU usage is CPU time over latency plus what the daemon uses while it waits. Sending
costs about 1 ms of CPU per MiB: the rule of thumb of 1 GHz per Gbit/s (A. Foong et al.,
"TCP performance re-visited", ISPASS 2003) at 3 GHz with segmentation offload.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from offline.simulator.tcp import parallel_mbps

F64 = NDArray[np.float64]

HDE_STREAMS: Final = 4
SEND_CPU_MS_PER_MIB: Final = 1.0
STREAM_SETUP_MS: Final = 0.02
IDLE_CPU_PCT: Final = 0.5
STREAM_CPU_PCT: Final = 0.02

CPU_SD: Final = 0.10
RATE_SD: Final = 0.12
"""Log-normal noise of a transfer: other work on the host, other traffic within the minute."""

_MS_PER_MIB_AT_1_MBPS: Final = (1 << 20) * 8 / 1e6 * 1e3


class Conditions(NamedTuple):
    """What a transfer meets, arrays `[..., transfer]`: of the link, of the host, of the payload.

    `contention` is a factor on the noise: how unpredictable the host is, usually 1.
    """

    available_mbps: F64
    rtt_ms: F64
    loss: F64
    streams: F64
    load: F64
    size_mib: F64
    ratio: F64
    encode_ms_per_mib: F64
    cpu_ms_per_mib: F64
    contention: F64


class Noise(NamedTuple):
    """Standard normal draws of a transfer, arrays `[..., transfer]`."""

    encode: F64
    hde_rate: F64
    amst_rate: F64
    amst_cpu: F64

    @classmethod
    def draw(cls, rng: Generator, shape: tuple[int, ...]) -> Noise:
        """Independent draws."""
        return cls(*rng.standard_normal((4, *shape)))


class Outcome(NamedTuple):
    """Both sides' results, arrays `[..., transfer]`, in the units of the contract."""

    hde_ratio: F64
    hde_latency_ms: F64
    hde_cpu_pct: F64
    amst_rate_mbps: F64
    amst_latency_ms: F64
    amst_cpu_pct: F64


def outcome(c: Conditions, noise: Noise) -> Outcome:
    """Both sides' results of transfers under the same conditions."""
    cpu_sd, rate_sd = CPU_SD * c.contention, RATE_SD * c.contention
    busy = np.exp(cpu_sd * noise.encode)
    compressed_mib = c.size_mib / c.ratio
    rate = parallel_mbps(HDE_STREAMS, c.rtt_ms, c.loss, c.available_mbps) * np.exp(rate_sd * noise.hde_rate)
    encode_ms = c.size_mib * c.encode_ms_per_mib * busy / (1 - 0.7 * c.load)
    hde_ms = encode_ms + compressed_mib * _MS_PER_MIB_AT_1_MBPS / rate + 2 * c.rtt_ms
    hde_cpu_ms = c.size_mib * c.cpu_ms_per_mib * busy * (1 + 0.3 * c.load) + compressed_mib * SEND_CPU_MS_PER_MIB
    amst_rate = parallel_mbps(c.streams, c.rtt_ms, c.loss, c.available_mbps) * np.exp(rate_sd * noise.amst_rate)
    amst_ms = c.size_mib * _MS_PER_MIB_AT_1_MBPS / amst_rate + 2 * c.rtt_ms + STREAM_SETUP_MS * c.streams
    amst_cpu_ms = c.size_mib * SEND_CPU_MS_PER_MIB * (1 + 0.3 * c.load) * np.exp(cpu_sd * noise.amst_cpu)
    return Outcome(
        np.broadcast_to(c.ratio, hde_ms.shape),
        hde_ms,
        np.clip(100 * hde_cpu_ms / hde_ms + IDLE_CPU_PCT, 0.1, 100),
        amst_rate,
        amst_ms,
        np.clip(100 * amst_cpu_ms / amst_ms + IDLE_CPU_PCT + STREAM_CPU_PCT * c.streams, 0.1, 100),
    )
