"""Variables of the environment in which a launcher numbers its ranks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from hpc.jobs.node import LauncherError, RankInfo


@dataclass(frozen=True)
class RankVariables:
    """The variables of one launcher.

    Attributes:
        names: of rank, size, local rank and local size; others may follow.
        marks: further ones, by which a rank knows that the launcher has started it.
    """

    names: tuple[str, ...]
    marks: tuple[str, ...] = ()

    def tell_of_several(self, env: Mapping[str, str]) -> bool:
        """Whether they tell of more than the one process that any other command is, too."""
        rank, size = (env.get(name) for name in self.names[:2])
        return (rank, size) != (None, None) and not (size == "1" and rank in (None, "0"))

    def read(self, env: Mapping[str, str], launcher: str, *, mpi: bool) -> RankInfo:
        """What they say, but for the node.

        Args:
            env: ``os.environ``.
            launcher: as :class:`RankInfo` has it, like ``mpi``.

        Raises:
            LauncherError: some are missing, are no numbers or don't go together.
        """
        names = self.names
        rank, size, local_rank, local_size = (self.number(env, name) for name in names[:4])
        for (low, of), (high, limit) in (
            ((rank, names[0]), (size, names[1])),
            ((local_rank, names[2]), (local_size, names[3])),
            ((local_size - 1, names[3]), (size, names[1])),
        ):
            if low >= high:
                raise self.wrong(env, f"{of} is {env[of]} and {limit} is {env[limit]}, which can't be")
        return RankInfo(rank, size, local_rank, local_size, 0, launcher, mpi=mpi)

    def number(self, env: Mapping[str, str], name: str) -> int:
        """The number in one of them, or in another that belongs to them.

        Raises:
            LauncherError: it is missing, or no number.
        """
        if name not in env:
            there = ", ".join(other for other in dict.fromkeys(self.names) if other in env)
            raise self.wrong(env, f"{name} is missing beside {there or 'what says that there is a launcher'}")
        if not re.fullmatch(r"[0-9]{1,9}", env[name]):
            raise self.wrong(env, f"{name} is {env[name]!r}, which is no number of a rank or of ranks")
        return int(env[name])

    def wrong(self, env: Mapping[str, str], what: str) -> LauncherError:
        """The error of a rank that they leave in doubt.

        Args:
            env: ``os.environ``.
            what: is wrong, in words.
        """
        there = [name for name in dict.fromkeys([*self.marks, *self.names]) if name in env]
        return LauncherError(
            f"{what}: so it can't be told which rank this is. If no launcher has started this command, that "
            f"is left over from one: `unset {' '.join(there)}`; else start it anew, as "
            "`mpirun -np 2 hpc run …`."
        )
