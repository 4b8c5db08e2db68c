"""Which processor a rank computes on, and with how many threads."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def available_cpus() -> int:
    """CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def share_of_cpus(local_size: int, granted: int | None = None) -> int:
    """CPUs that each of the ranks on this node may use: its share of what this process may run on.

    Args:
        local_size: ranks on this node.
        granted: CPUs that the job was given on this node, if that is known.
    """
    cpus = available_cpus() if granted is None else min(granted, available_cpus())
    return max(1, cpus // local_size)


def bind(threads: int, local_rank: int, local_size: int, worker: int, env: Mapping[str, str]) -> bool:
    """Keep a rank on CPUs of its own, where several train together on this machine's CPUs.

    Linux wakes a process on the CPU of the one that wakes it. Ranks that wait for each other in every
    step so gather on one CPU, and the others idle: steps of two ranks on two CPUs, which had other work too,
    took 3.3 to 4.0 ms, and 1.2 to 2.8 ms bound. On a quiet machine 30 epochs took 1.46 to 2.05 s, and 1.23 to
    1.43 s bound.

    To be called before any thread is started. Where the machine has too few CPUs, nothing is bound;
    on a cluster that is for its scheduler to do.

    Args:
        threads: of each rank.
        local_rank: from 0, on this machine.
        local_size: ranks of each worker on this machine.
        worker: number of the worker on this machine, from 0.
        env: ``os.environ``; with GPUs nothing is bound.

    Returns:
        Whether it is bound.
    """
    if local_size == 1 or local_gpus(env) or not hasattr(os, "sched_setaffinity"):
        return False
    first = (worker * local_size + local_rank) * threads
    mine = sorted(os.sched_getaffinity(0))[first : first + threads]
    if len(mine) < threads or available_cpus() < (worker + 1) * local_size * threads:
        return False
    os.sched_setaffinity(0, mine)
    return True


def local_gpus(env: Mapping[str, str], devices: Path = Path("/dev")) -> list[int]:
    """Numbers of the NVIDIA GPUs of this machine that the environment lets us see.

    Args:
        env: ``os.environ``; CUDA_VISIBLE_DEVICES narrows the choice.
        devices: where the device files are.
    """
    numbers = sorted(
        int(path.name.removeprefix("nvidia"))
        for path in devices.glob("nvidia[0-9]*")
        if path.name.removeprefix("nvidia").isdigit()
    )
    visible = env.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return numbers
    wanted = [part.strip() for part in visible.split(",")]
    return [int(part) for part in wanted if part.isdigit() and int(part) in numbers]


def choose_gpu(gpus: Sequence[str], local_rank: int, worker: int = 0, ranks: int = 1) -> int | None:
    """The index of the GPU that a rank takes, or None where there is none.

    Every rank sees all GPUs of its node (NCCL's peer-to-peer needs that) and takes one; several
    workers on one machine take turns.

    Args:
        gpus: as the rank sees them.
        local_rank: from 0, on this node.
        worker: number of the worker on this machine, from 0.
        ranks: of each worker on this machine.
    """
    return (worker * ranks + local_rank) % len(gpus) if gpus else None


def why_not(level: int = sys.flags.optimize) -> str:
    """Why TensorFlow can't be imported by this Python; empty if it can.

    Args:
        level: how much Python optimises: 1 takes assertions off, 2 docstrings, too.
    """
    if level < 2:
        return ""
    return (
        f"PYTHONOPTIMIZE={level}, or python -OO, takes docstrings off, and TensorFlow can't be imported "
        "without its own: `unset PYTHONOPTIMIZE`, or set it to 1"
    )


def prepare(env: MutableMapping[str, str], threads: int) -> None:
    """Set what TensorFlow and Keras read when they are imported.

    Args:
        env: ``os.environ``, before TensorFlow is imported.
        threads: that this rank may use.
    """
    env["KERAS_BACKEND"] = "tensorflow"  # whatever ~/.keras/keras.json says
    env.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    env.setdefault("OMP_NUM_THREADS", str(threads))


def prepare_any(env: MutableMapping[str, str], threads: int) -> None:
    """As :func:`prepare`, for whatever library a user's code loads.

    Args:
        env: ``os.environ``.
        threads: that this rank may use.
    """
    env.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        env.setdefault(name, str(threads))


def start(threads: int, local_rank: int, worker: int, ranks: int, *, only_ours: bool = False) -> str | None:
    """Import TensorFlow, and give it its threads and its GPU.

    Args:
        threads: that this rank may use.
        local_rank: see :func:`choose_gpu`, as ``worker`` and ``ranks``.
        only_ours: whether no code of a user's will use Keras in this process.

    Returns:
        The name of the GPU, the same for no two ranks of a node, or None on a CPU.

    Raises:
        RuntimeError: this Python can't import TensorFlow.
    """
    if why_not():
        raise RuntimeError(f"{why_not()}.")
    with quiet(), _hidden("matplotlib", *(["sklearn", "pandas"] if only_ours else [])):
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
    tf.get_logger().setLevel("ERROR")  # it warns of every trial that has a graph of its own
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        pass  # TensorFlow has run before in this process (a notebook, a test): it keeps its own
    index = choose_gpu([gpu.name for gpu in gpus], local_rank, worker, ranks)
    if index is None:
        return None
    tf.config.set_visible_devices(gpus[index], "GPU")
    tf.config.experimental.set_memory_growth(gpus[index], True)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = visible.split(",") if visible else [str(i) for i in range(len(gpus))]
    return f"{os.uname().nodename}/{names[index]}"


def claim(
    env: MutableMapping[str, str],
    local_rank: int,
    worker: int,
    ranks: int,
    devices: Path = Path("/dev"),
) -> str | None:
    """As :func:`start`, by the environment alone, for whatever library a user's code loads.

    A rank that trains alone sees its GPU only; several see all of their node, as NCCL needs them to, and
    take the one of their ``LOCAL_RANK``.

    Args:
        env: ``os.environ``.
        local_rank: see :func:`choose_gpu`, as ``worker`` and ``ranks``.
        devices: where the device files are.
    """
    gpus = local_gpus(env, devices)
    index = choose_gpu([str(gpu) for gpu in gpus], local_rank, worker, ranks)
    if index is None:
        return None
    if ranks == 1:
        env["CUDA_VISIBLE_DEVICES"] = str(gpus[index])
    return f"{os.uname().nodename}/{gpus[index]}"


def leave_gpus() -> None:
    """Let TensorFlow, which has been imported for what ranks say to each other, touch no GPU."""
    import tensorflow as tf

    with suppress(RuntimeError):  # it computes already, in a notebook
        tf.config.set_visible_devices([], "GPU")


def arithmetic() -> dict[str, Any]:
    """The properties of this machine by which TensorFlow splits its sums; their last bits depend on them.

    Returns:
        ``threads`` of a rank, and the ``cpu``, by whose instructions oneDNN chooses its kernels.
    """
    import tensorflow as tf

    threads = tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {"threads": threads, "cpu": names[0] if names else platform.machine()}


@contextmanager
def _hidden(*names: str) -> Iterator[None]:
    """Hide packages from Keras, which comes with TensorFlow and imports these where they are there.

    They cost each worker two fifths of its start: pyplot for Keras' galleries, scikit-learn for
    its wrappers, pandas for frames that are given to ``fit``. They can be imported later.
    """
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what TensorFlow's C++ side says about a missing CUDA, whatever its log level.

    Where there is a GPU, it may say what it likes.
    """
    if local_gpus({}):
        yield
        return
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
