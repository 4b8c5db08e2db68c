"""What a profile may say, as pydantic checks it."""

from __future__ import annotations

import shlex
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from hpc.storage import storage_url

Reason = Literal["error", "out-of-memory", "timeout", "node-failure", "cancelled"]


Count = Annotated[int, Field(ge=1)]

OURS = {
    "array": "hpc decides how many jobs there are; workers says how many run at once",
    "job-name": "hpc finds its jobs again by their names",
    "output": "hpc puts logs into the run's folder",
    "error": "hpc puts logs into the run's folder",
    "open-mode": "a job that is requeued appends to its log",
    "signal": "write signal_seconds: 120, the seconds before a time limit",
    "chdir": "jobs work in the folder where you typed the command",
    "wrap": "hpc runs its own script",
    "wait": "submitting returns at once; hpc run waits for the jobs",
    "test-only": "write --dry-run",
    "parsable": "hpc reads the answer of sbatch",
    "nodes": "write nodes: 2 outside sbatch",
    "ntasks": "write nodes and ranks_per_node outside sbatch",
    "ntasks-per-node": "write ranks_per_node: 4 outside sbatch",
    "cpus-per-task": "write cpus_per_rank: 4 outside sbatch",
    "gpus-per-node": "write gpus_per_node: 4 outside sbatch",
    "gpus-per-task": "it hides each rank's GPU from the others; write gpus_per_node outside sbatch",
    "time": "write time_min: 240 outside sbatch",
    "mem": "write mem_gb: 16 outside sbatch",
    "partition": "write partition: gpu outside sbatch",
    "account": "write account: myproject outside sbatch",
    "qos": "write qos: long outside sbatch",
    "constraint": "write constraint: a100 outside sbatch",
    "no-requeue": "write requeues: 0 outside sbatch",
    "requeue": "write requeues: 20 outside sbatch",
}
"""Options of sbatch that have a place of their own, or that would get in the way."""


class Profile(BaseModel):
    """A named place to run jobs.

    Attributes:
        cluster: ``local`` is processes of this machine, ``debug`` this very process, ``slurm`` jobs
            of SLURM.
        workers: jobs that run at once; as many as the machine has room for unless given, 4 on
            SLURM.
        ranks: processes that train one trial together; SLURM has nodes and ranks_per_node.
        checkpoint_min: minutes between two checkpoints of a trial.
        measure: whether to take the time of what steps wait for, which `hpc scaling` reads.
        storage: URL of a database in which a search has its study, as postgresql+psycopg://me@host/optuna;
            a journal in the folder of the run unless given. No password stands in it.

        nodes: of each job.
        ranks_per_node: one per GPU unless given.
        gpus_per_node: that each job gets.
        cpus_per_rank: that each rank gets; the site's default unless given.
        mem_gb: memory per node; the site's default unless given.
        time_min: time limit of a job; when it is near, the job is requeued and goes on later.
        partition: as sbatch takes it, like account, qos and constraint.
        account: that pays.
        qos: quality of service.
        constraint: features of nodes.
        sbatch: any other option of sbatch, by its long name; ``true`` for one without a value.
        srun: further arguments of srun.
        setup: lines of shell before the job starts, ``module load cuda`` for one.
        python: the command that starts Python on a node; this very Python unless given.
        trials_per_job: how many trials a job takes; all are dealt over the workers unless given.
        groups: into which the ranks of a job are split, each training its own trials.
        backend: how several ranks meet: mpi, gloo, or auto for what works.
        mpi: the value of ``srun --mpi``; auto for what the site offers.
        allow_cpu: whether ranks may train on a CPU where a GPU was asked for.
        signal_seconds: before the time limit at which a job writes its checkpoint.
        requeues: how many times a job may be requeued.
        snapshot: whether jobs train with a copy of the user's code that is made when they are submitted.
        retry: how many times a trial is tried again within a run, by the reason of its failure;
            one that diverged never is.
        more_memory: the factor for mem_gb when a trial is tried again after out-of-memory.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    cluster: Literal["local", "debug", "slurm"]
    workers: Count | None = None
    ranks: Count = 1
    checkpoint_min: Annotated[float, Field(ge=0)] = 5.0
    measure: bool = False
    storage: str | None = None

    nodes: Count = 1
    ranks_per_node: Count | None = None
    gpus_per_node: Annotated[int, Field(ge=0)] = 0
    cpus_per_rank: Count | None = None
    mem_gb: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    time_min: Count = 60
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    sbatch: dict[str, str | int | float | bool] = {}
    srun: list[str] = []
    setup: list[str] = []
    python: str | None = None
    trials_per_job: Count | None = None
    groups: Count = 1
    backend: Literal["auto", "mpi", "gloo"] = "auto"
    mpi: str = "auto"
    allow_cpu: bool = False
    signal_seconds: Annotated[int, Field(ge=1)] = 90
    requeues: Annotated[int, Field(ge=0)] = 20
    snapshot: bool = True
    retry: dict[Reason, Annotated[int, Field(ge=0)]] = {"node-failure": 2, "out-of-memory": 1}
    more_memory: Annotated[float, Field(ge=1)] = 2.0

    @field_validator("sbatch")
    @classmethod
    def _not_ours(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name in options:
            plain = name.replace("_", "-").lstrip("-")
            if plain in OURS:
                raise ValueError(f"{name} is not for here: {OURS[plain]}")
            if name != plain and name != plain.replace("-", "_"):
                raise ValueError(f"{name} is written without dashes before it: {plain}")
        return options

    @field_validator("partition", "account", "qos", "constraint", "mpi", "python", "sbatch")
    @classmethod
    def _one_line(cls, value: Any) -> Any:
        for text in value.values() if isinstance(value, dict) else [value]:
            if isinstance(text, str) and len(text.splitlines()) > 1:
                raise ValueError(f"{text!r} has more than one line")
        return value

    @field_validator("storage")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        return None if value is None else storage_url(value)

    @field_validator("python")
    @classmethod
    def _is_command(cls, value: str | None) -> str | None:
        try:
            words = None if value is None else shlex.split(value)
        except ValueError as error:
            raise ValueError(f'"{value}" is no command of a shell: {error}') from None
        if words == []:
            raise ValueError(f"{value!r} names no command")
        return value

    @property
    def ranks_of_node(self) -> int:
        """Ranks on each node of a job of SLURM."""
        return self.ranks_per_node or self.gpus_per_node or 1
