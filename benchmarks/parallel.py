"""Two ranks that train together beside two processes that each train half the work alone.

    uv run python -m benchmarks.parallel

takes the same steps, by the project's own loop, in four pairs of processes with a thread and a core each:
two ranks that reduce through Gloo, two through MPI, two through TensorFlow's MultiWorkerMirroredStrategy,
and two that know nothing of each other and train half the batch. The pairs take turns within one run; those
that wait are halted, so that no thread of theirs takes time from the others. Medians and ranges; the
efficiency is the time of a step without the reduction, divided by that with it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.jobs.collectives import World
from hpc.jobs.collectives.base import Compression
from hpc.jobs.launchers import find_rank_info
from hpc.jobs.node import RankInfo, device
from hpc.jobs.options import compile_model, options
from hpc.jobs.training import Graphs, Single, order
from hpc.models import MODELS, Dataset, Split
from tests.jobs.working import weights_digest

if TYPE_CHECKING:
    import tensorflow as tf

PARAMS: dict[str, dict[str, Any]] = {"mlp": {"hidden_size": [512, 512]}, "cnn": {"pool": "last"}}
BATCHES = {"mlp": "128,256,512,1024,2048,4096", "cnn": "128,256,512,1024"}
BACKENDS = ("gloo", "mpi", "tensorflow")
SAMPLES = 8192


class Strategy(World):
    """A world that reduces as MultiWorkerMirroredStrategy does.

    Keras 3 does not train by that strategy (its ``fit`` refuses), and ``ReplicaContext.all_reduce``
    does not work inside a loop of a graph. What either would call, the strategy's own reduction of a
    list of gradients, does work there; it takes the place of Horovod's, and all else is the same.
    """

    def __init__(self, rank: int) -> None:
        import tensorflow as tf

        super().__init__(RankInfo(), Path(), "tensorflow")  # a world of one joins nothing
        self.place = RankInfo(rank, 2)
        self._extended = tf.distribute.MultiWorkerMirroredStrategy().extended

    def sum(self, tensors: list[tf.Tensor], name: str, compression: Compression = "none") -> list[tf.Tensor]:
        """Each tensor's sum over both ranks."""
        import tensorflow as tf

        reduction = self._extended._get_cross_device_ops(tensors[0])
        chosen = tf.distribute.experimental.CommunicationOptions()
        return list(reduction._all_reduce(tf.distribute.ReduceOp.SUM, tensors, 0, chosen))


class Trainer:
    """Takes steps as a worker does.

    Args:
        world: the ranks that train together.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._loops: dict[str, tuple[Single, tf.Tensor, tf.Tensor]] = {}

    def train(self, name: str, batch: int, steps: int) -> float:
        """Train a model, and tell how many seconds that took."""
        if name not in self._loops:
            self._loops[name] = self._loop(name)
        loop, x, y = self._loops[name]
        rows = np.concatenate([order(SAMPLES, 0, epoch) for epoch in range(-(-batch * steps // SAMPLES))])
        start = time.perf_counter()
        loop.steps(x, y, rows, 0, batch * steps, batch)
        return time.perf_counter() - start

    def _loop(self, name: str) -> tuple[Single, tf.Tensor, tf.Tensor]:
        import keras
        import tensorflow as tf

        keras.utils.set_random_seed(1)
        draw = np.random.default_rng(0)
        x = draw.random((SAMPLES, 28, 28), np.float32)
        data = Dataset(Split(x, draw.integers(0, 10, SAMPLES).astype(np.int32)), None, 10)
        model = MODELS[name].build((28, 28), 10, 10, **PARAMS[name])
        compile_model(model, options({"batch_size": 128}), num_classes=10, samples=SAMPLES)
        model.optimizer.build(model.trainable_variables)
        return Graphs().of(model, data, self._world), tf.constant(data.train.x), tf.constant(data.train.y)

    def digest(self, name: str) -> str:
        """Of the weights as they are now."""
        return weights_digest(self._loops[name][0].model)


def be(backend: str, rank: int, folder: Path) -> None:
    """Be one of a pair: take the steps that are asked for until nothing more is."""
    device.prepare(os.environ, 1)
    place = find_rank_info(os.environ)
    rank = place.rank if place.size > 1 else rank
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[rank % len(cpus)]})  # as SLURM and mpirun bind ranks
    with Client(str(folder / backend)) as caller:
        caller.send((rank, os.getpid()))
        device.start(1, 0, 0, 1)
        world = Strategy(rank) if backend == "tensorflow" else World(place, folder, backend)
        trainer = Trainer(world)
        try:
            while True:
                name, batch, steps = caller.recv()
                caller.send((trainer.train(name, batch, steps), trainer.digest(name)))
        except EOFError:
            pass
        if backend in ("gloo", "mpi"):
            world.leave()


class Pair:
    """Two processes that take the same steps at the same time.

    Args:
        backend: by which they reduce; ``alone`` if they don't.
        folder: where they meet.
    """

    def __init__(self, backend: str, folder: Path) -> None:
        self._backend = backend
        with Listener(str(folder / backend)) as listener:
            self._started = list(_start(backend, folder))
            callers = [listener.accept() for _ in range(2)]
        met = sorted((caller.recv(), caller) for caller in callers)
        self._callers: list[Connection[Any, Any]] = [caller for _, caller in met]
        self._pids = [pid for (_, pid), _ in met]

    def train(self, name: str, batch: int, steps: int) -> float:
        """Milliseconds per step of a model at a global batch."""
        mine = batch // 2 if self._backend == "alone" else batch
        for caller in self._callers:
            caller.send((name, mine, steps))
        told = [caller.recv() for caller in self._callers]
        if self._backend != "alone" and told[0][1] != told[1][1]:
            raise SystemExit(f"{self._backend}: the ranks have unequal weights")
        return float(statistics.mean(seconds for seconds, _ in told)) / steps * 1000

    @contextmanager
    def awake(self) -> Iterator[None]:
        """Let them go on for a while."""
        self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            self._signal(signal.SIGSTOP)

    def _signal(self, number: signal.Signals) -> None:
        # TensorFlow's processes miss each other after ten seconds; while they wait they do little.
        for pid in self._pids if self._backend != "tensorflow" else []:
            os.kill(pid, number)

    def close(self) -> None:
        """End them."""
        self._signal(signal.SIGCONT)
        for caller in self._callers:
            caller.close()  # what waits for a word ends
        for process in self._started:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _start(backend: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "benchmarks.parallel", "--be", backend, str(folder)]
    if backend == "mpi":
        mpirun = Path(sys.executable).with_name("mpirun")
        launcher = [str(mpirun) if mpirun.exists() else shutil.which("mpirun") or "mpirun"]
        as_root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        yield subprocess.Popen([*launcher, "-np", "2", *command], env={**os.environ, **as_root})
        return
    ports = _free_ports()
    for rank in range(2):
        env: Mapping[str, str] = {}
        if backend == "gloo":  # as submitit's local executor starts them
            numbers = {"GLOBALID": rank, "LOCALID": rank, "NTASKS": 2}
            env = {f"SUBMITIT_LOCAL_{name}": str(number) for name, number in numbers.items()}
            env = {**env, "SUBMITIT_EXECUTOR": "local"}
        elif backend == "tensorflow":
            cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
            env = {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": "worker", "index": rank}})}
        yield subprocess.Popen([*command, "--rank", str(rank)], env={**os.environ, **env})


def _free_ports() -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(2)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def measure(
    pairs: Mapping[str, Pair], name: str, batch: int, steps: int, repeats: int
) -> dict[str, list[float]]:
    """Milliseconds per step of each pair, in turn.

    Args:
        pairs: by their names.
        name: of the model.
        batch: over both processes.
        steps: of each measurement; 0 for as many as take a second.
        repeats: measurements of each pair.
    """
    times: dict[str, list[float]] = {backend: [] for backend in pairs}
    for number in range(repeats + 1):
        for backend, pair in pairs.items():
            with pair.awake():
                if number == 0:  # the first steps instantiate the graphs, and settle the connections
                    pair.train(name, batch, 5)
                    steps = steps or max(5, round(1000 / pair.train(name, batch, 5)))
                else:
                    times[backend].append(pair.train(name, batch, steps))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=0, help="of each measurement; as many as take a second")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--models", default=",".join(PARAMS), help="by commas")
    parser.add_argument("--batches", default="", help="global ones, by commas")
    parser.add_argument("--backends", default=",".join(BACKENDS), help="by commas")
    parser.add_argument("--be", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--rank", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.be:
        be(given.be[0], given.rank, Path(given.be[1]))
        return
    backends = given.backends.split(",")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        pairs = {}
        for backend in ("alone", *backends):
            pairs[backend] = Pair(backend, Path(folder))
            stack.callback(pairs[backend].close)
        print(f"{given.repeats} runs, milliseconds per step:")
        for name in given.models.split(","):
            for batch in map(int, (given.batches or BATCHES[name]).split(",")):
                times = measure(pairs, name, batch, given.steps, given.repeats)
                alone = statistics.median(times["alone"])
                print(f"{name}, global batch {batch}: two alone {_told(times['alone'])}")
                for backend in backends:
                    efficiency = alone / statistics.median(times[backend])
                    print(f"    {backend:<10} {_told(times[backend])}: {efficiency:.2f}", flush=True)


def _told(times: list[float]) -> str:
    return f"{statistics.median(times):7.2f} (from {min(times):.2f} to {max(times):.2f})"


if __name__ == "__main__":
    main()
