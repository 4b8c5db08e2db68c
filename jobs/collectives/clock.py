"""Times that the steps of a training wait: for input, for sums over all ranks, for other ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.models import Array

if TYPE_CHECKING:
    import tensorflow as tf

    from hpc.jobs.collectives.world import World

SIZES = tuple(4**power for power in range(5, 13))
"""Bytes of the arrays that are reduced to see how long that takes: 1 KiB to 16 MiB."""
SIZE_SECONDS, TIMES = 0.25, (10, 200)
"""About how long each of them is reduced again and again, and how many times at least and at most."""
MAX_SUMS = 4096
"""The clock keeps this many sums of an epoch, by which it tells which rank came last."""
PARTS = ("steps", "input", "collective")


class Clock:
    """Takes the time inside graphs, where it is asked for.

    A part of a step is timed from when all that it takes is there to when all that it gives is
    there, and what comes after waits for that. So it must be a part for which the rest of the step
    waits anyway: the gathered batch, and the sum over all ranks, which is one operation on all
    gradients. The arithmetic is the same with and without.
    """

    def __init__(self) -> None:
        import tensorflow as tf

        self._seconds = {part: tf.Variable(0.0, False, dtype=tf.float64) for part in PARTS}
        self._sums = tf.Variable(0, False, dtype=tf.int32)
        self._single = tf.Variable(tf.zeros([MAX_SUMS], tf.float64), False)
        self._has_gpu = bool(tf.config.list_logical_devices("GPU"))
        self._steps = 0

    def timed(self, part: str, function: Callable[..., Any], *inputs: Any) -> Any:
        """Call a function in a graph, and add up how long that takes.

        Args:
            part: one of ``PARTS``, all steps of a graph or what each of them does.
            function: from tensors to tensors, nested as they like.
            inputs: it is given.
        """
        import tensorflow as tf

        began, inputs = self._passing(inputs)
        ended, outputs = self._passing(function(*inputs))
        spent = tf.maximum(ended - began, 0.0)  # TensorFlow has only a clock that may be set
        self._seconds[part].assign_add(spent)
        if part == "collective":
            place = self._sums % MAX_SUMS
            self._single.scatter_update(tf.IndexedSlices([spent], [place]))
            self._sums.assign_add(1)
        return outputs

    def _passing(self, tensors: Any) -> tuple[tf.Tensor, Any]:
        """When all of them are there; and the same tensors, which are there after that."""
        import tensorflow as tf

        with tf.control_dependencies(self._marks(tf.nest.flatten(tensors))), tf.device("CPU:0"):
            now = tf.timestamp()
        with tf.control_dependencies([now]):
            return now, tf.nest.map_structure(tf.identity, tensors)

    def _marks(self, tensors: list[tf.Tensor]) -> list[tf.Tensor]:
        """Tensors that are there only when all the given ones are."""
        import tensorflow as tf

        if not self._has_gpu:
            return tensors
        # A GPU's kernels are queued, not done, when TensorFlow goes on: a number of each comes back.
        some = tf.concat([tf.cast(tf.reshape(tensor, [-1])[:1], tf.float32) for tensor in tensors], 0)
        with tf.device("CPU:0"):
            return [tf.identity(some)]

    def count(self, steps: int) -> None:
        """So many steps were taken; with 0 begin anew, as after those for which a graph was traced."""
        if not steps:
            self._restart()
        self._steps += steps

    def take(self, world: World) -> dict[str, float]:
        """The times since the last call, over all ranks; empty if there was no step.

        Returns:
            ``steps``, and seconds: ``steps_seconds`` of all of them (not of what comes between graphs:
            starting them, validation, records), and of these ``input_seconds``,
            in which batches are gathered (the mean over the ranks), ``collective_seconds``, in which
            gradients are summed up (in each step those of the rank that comes last, and so waits for
            none), and ``waiting_seconds``, in which the others wait for it (the mean over the ranks).
        """
        mine = np.array([float(self._seconds[part].numpy()) for part in PARTS])
        single = self._single.numpy()[: int(self._sums.numpy())]
        steps, (everyone, singles) = self._steps, _of_everyone(world, mine, single)
        self._restart()
        if not steps:
            return {}
        total, inputs, exposed = everyone.mean(axis=0)
        own = float(singles.min(axis=0).sum() / singles.mean(axis=0).sum()) if singles.size else 0.0
        found = {"steps": steps, "steps_seconds": float(total), "input_seconds": float(inputs)}
        found |= {"collective_seconds": own * float(exposed), "waiting_seconds": (1 - own) * float(exposed)}
        return {name: round(value, 6) for name, value in found.items()}

    def _restart(self) -> None:
        self._steps = 0
        self._sums.assign(0)
        for variable in self._seconds.values():
            variable.assign(0.0)

    def reductions(self, world: World, sizes: Sequence[int] = SIZES) -> list[dict[str, float]]:
        """Measure how long the ranks take to sum up arrays of some sizes, as they sum up gradients.

        Args:
            world: all ranks of which call this at once.
            sizes: in bytes, of arrays of single precision.

        Returns:
            For each size ``bytes`` and ``seconds``, the median over the times of the rank that came
            last; nothing for a single rank.
        """
        import tensorflow as tf

        if world.size == 1:
            return []
        found = []
        for size in sizes:
            times, array = self._repeatedly(world), tf.zeros([size // 4], tf.float32)
            longest = max(max(mine) for mine in world.gather(times(array, 3).numpy().tolist()))
            count = int(np.clip(SIZE_SECONDS / max(longest, 1e-6), *TIMES))
            everyone = np.array(world.gather(times(array, count).numpy().tolist()))
            found.append({"bytes": size, "seconds": round(float(np.median(everyone.min(axis=0))), 9)})
        return found

    def _repeatedly(self, world: World) -> Callable[..., tf.Tensor]:
        """A function that sums up an array repeatedly in a graph, and returns the seconds per sum."""
        import tensorflow as tf

        def times(array: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
            def step(done: tf.Tensor, spent: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
                began, mine = self._passing(array)
                ended, _ = self._passing(world.sum([mine], "measured"))
                return done + 1, spent.write(done, tf.maximum(ended - began, 0.0))

            begin = [tf.constant(0), tf.TensorArray(tf.float64, count)]
            _, spent = tf.while_loop(lambda done, _: done < count, step, begin, parallel_iterations=1)
            return spent.stack()

        return tf.function(times, autograph=False)  # type: ignore[no-any-return]


def _of_everyone(world: World, *arrays: Array) -> list[Array]:
    """Every rank's arrays, shape (ranks, …): by a sum, which is quick where ranks share memory.

    To gather takes Horovod's thread tens of milliseconds there, after which the next steps begin with
    cold caches, and would be measured so.
    """
    import tensorflow as tf

    rows = [np.zeros((world.size, *array.shape)) for array in arrays]
    for row, array in zip(rows, arrays, strict=True):
        row[world.rank] = array
    if world.size == 1:
        return rows
    return [np.asarray(total) for total in world.sum([tf.constant(row) for row in rows], "clock")]
