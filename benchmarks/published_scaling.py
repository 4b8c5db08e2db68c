"""The model of scaling against figures that Horovod's authors have published, from 16 to 512 GPUs.

Prints a table; trains nothing. The published side:

- Throughput of one Pascal GPU at batch 64, and of 16 (4 servers), images per second, by RDMA and NCCL:
  Horovod's README of October 2017, https://github.com/horovod/horovod/pull/44.
- 128 GPUs (32 servers): "90% scaling efficiency for both Inception V3 and ResNet-101, and 79% scaling
  efficiency for VGG-16", Horovod's README of late 2017.
- 512 GPUs (128 servers): "128 servers with 4 Pascal GPUs each connected by a RoCE-capable 25 Gbit/s
  network. Horovod achieves 90% scaling efficiency for both Inception V3 and ResNet-101, and 68% scaling
  efficiency for VGG-16", https://github.com/horovod/horovod/blob/master/docs/benchmarks.rst. The paper is
  A. Sergeev, M. Del Balso, Horovod: fast and easy distributed deep learning in TensorFlow,
  arXiv:1802.05799, 2018.

The other side: gradients are single precision, one for each trainable parameter that Keras counts with
1,000 classes. All four GPUs of a server are in one ring, so what leaves a rank goes through the
server's one link, at its nominal speed.
"""

from __future__ import annotations

from dataclasses import dataclass

from hpc.results.scaling import factors

BATCH = 64
LINK_BYTES_PER_SECOND = 25e9 / 8
FUSION_BYTES = 64 * 2**20
"""Horovod's fusion buffer then, see its docs/tensor-fusion.rst."""
BACKWARD = 2 / 3
"""Share of the backward pass in the compute: it multiplies by each weight twice, the forward pass once."""


def overlapped(compute_seconds: float, collective_seconds: float) -> float:
    """What of the collectives remains if they run beside the backward pass as far as that goes."""
    return max(0.0, collective_seconds - BACKWARD * compute_seconds)


@dataclass(frozen=True)
class Published:
    """What is published of a model.

    Attributes:
        name: of the model.
        parameters: trainable, as ``keras.applications`` counts them.
        single: images per second of one GPU.
        on_16: images per second of 16 GPUs.
        efficiency: at 128 and at 512 GPUs, from 0 to 1, to the percent.
    """

    name: str
    parameters: int
    single: float
    on_16: float
    efficiency: tuple[float, float]

    @property
    def compute_seconds(self) -> float:
        """Of a step."""
        return BATCH / self.single

    @property
    def measured(self) -> dict[int, float]:
        """Efficiency by the number of GPUs."""
        return {16: self.on_16 / self.single / 16, 128: self.efficiency[0], 512: self.efficiency[1]}

    def transfer_seconds(self, gpus: int) -> float:
        """Of the gradients around the ring, by the nominal speed of the link; without latency."""
        return factors(gpus, 4 * self.parameters)[1] / LINK_BYTES_PER_SECOND

    def bracket(self, gpus: int) -> tuple[float, float]:
        """Efficiency without any overlap, and with all that the backward pass can hide."""
        compute, transfer = self.compute_seconds, self.transfer_seconds(gpus)
        return compute / (compute + transfer), compute / (compute + overlapped(compute, transfer))

    def fitted(self) -> tuple[float, float]:
        """Latency of a hop and hidden seconds, from the efficiency at 16 and at 128 GPUs.

        Returns:
            Seconds of all messages of a hop (α times their number), and seconds of each step's
            collectives that run beside the backward pass, which are taken to stay as they are.
        """
        exposed = {gpus: self._exposed(self.measured[gpus]) for gpus in (16, 128)}
        longer = self.transfer_seconds(128) - self.transfer_seconds(16)
        hop = max(0.0, (exposed[128] - exposed[16] - longer) / (2 * (128 - 16)))
        return hop, self.transfer_seconds(16) + 2 * 15 * hop - exposed[16]

    def predicted(self, gpus: int) -> float:
        """Efficiency by what :meth:`fitted` gives."""
        hop, hidden = self.fitted()
        exposed = max(0.0, self.transfer_seconds(gpus) + 2 * (gpus - 1) * hop - hidden)
        return self.compute_seconds / (self.compute_seconds + exposed)

    def _exposed(self, efficiency: float) -> float:
        return self.compute_seconds * (1 / efficiency - 1)


PUBLISHED = (
    Published("Inception V3", 23_817_352, 134.4, 2022.6, (0.90, 0.90)),
    Published("ResNet-101", 44_601_832, 119.4, 1746.2, (0.90, 0.90)),
    Published("VGG-16", 138_357_544, 130.9, 1787.4, (0.79, 0.68)),
)


def lines() -> list[str]:
    """The table."""
    found = [
        f"{'model':13} {'GPUs':>5}  {'published':>9}  {'no overlap':>10}  {'full overlap':>12}  {'fitted':>7}"
    ]
    for one in PUBLISHED:
        for gpus, measured in one.measured.items():
            low, high = one.bracket(gpus)
            fitted = f"{one.predicted(gpus):7.1%}" if gpus == 512 else f"{'':7}"
            found.append(
                f"{one.name:13} {gpus:5}  {measured:9.1%}  {low:10.1%}  {high:12.1%}  {fitted}".rstrip()
            )
    found.append("")
    for one in PUBLISHED:
        hop, hidden = one.fitted()
        messages = -(-4 * one.parameters // FUSION_BYTES)
        found.append(
            f"{one.name}: fitted to 16 and 128 GPUs, a hop takes {1e6 * hop:.0f} µs, which is "
            f"{1e6 * hop / messages:.0f} µs for each of {messages} messages; {hidden:.3f} s of "
            f"{BACKWARD * one.compute_seconds:.3f} s of the backward pass hide collectives."
        )
    return found


if __name__ == "__main__":
    print("\n".join(lines()))
