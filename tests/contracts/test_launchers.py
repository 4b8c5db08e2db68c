"""The contract of launchers: SLURM, mpirun, submitit, and one of a scheduler that this file brings along."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from hpc.jobs.job_logs import log_of_ranks
from hpc.jobs.launch import Launch
from hpc.jobs.launchers import find_rank_info, launcher_of
from hpc.jobs.launchers.base import Job, JobLauncher, Launcher, Standing
from hpc.jobs.launchers.mpirun import Mpirun
from hpc.jobs.launchers.registry import JOB_LAUNCHERS, LAUNCHERS
from hpc.jobs.launchers.slurm import Slurm
from hpc.jobs.launchers.submitit import Submitit
from hpc.jobs.node.rank_info import LauncherError, RankInfo, for_jobs
from hpc.jobs.spec import WorkerSpec
from hpc.jobs.supervisor import supervise
from hpc.profile import Named, Profile
from hpc.results.store import parse
from hpc.schedulers.base import Scheduler
from hpc.schedulers.registry import SCHEDULERS
from hpc.schedulers.slurm import Slurm as SlurmScheduler
from tests.contracts.schedulers import NullScheduler
from tests.hpc.fake_slurm import FakeSlurm
from tests.hpc.queued import new_run, queue, start, write

FAKES = Path(__file__).parents[1] / "hpc"


class Null(JobLauncher):
    """Starts ranks for ``NullScheduler``, all of them by one process: the other half of a new scheduler."""

    name = "null"
    scheduler, submitter, starter, between = "Null", "nsub", "nrun", "in `null:` of the profile"

    def __init__(self) -> None:
        self.refuses = ""
        self.says = Standing()

    def job(self, env: Mapping[str, str]) -> Job:
        return Job("5_0", "5", 0, int(env.get("NULL_RESTARTS", 0)), "here", "hpc-small-a.0")

    def standing(self, job: Job) -> Standing:
        return self.says

    def requeue(self, job: Job) -> str:
        return self.refuses

    def command(
        self, launch: Launch, job_id: str, mpi: str, arguments: Sequence[str], env: Mapping[str, str]
    ) -> list[str]:
        code = f"import sys; sys.path.insert(0, {str(FAKES)!r}); from fake_slurm import srun as ranks; "
        code += f"sys.exit(ranks({env['FAKE_SLURM']!r}, sys.argv[1:]))"
        return [sys.executable, "-SE", "-c", code, f"--output={log_of_ranks(job_id)}", "--label", *arguments]

    def rank_info(self, env: Mapping[str, str]) -> RankInfo | None:
        if not self.has_started(env):
            return None
        try:
            return RankInfo(int(env["NULL_RANK"]), 2, int(env["NULL_RANK"]), 2, 0, self.starter)
        except (KeyError, ValueError) as error:
            raise LauncherError(f"NULL_RANK: {error}; `unset HPC_BACKEND`") from None


ALL = (*LAUNCHERS, Null())
NAMES = [one.name for one in ALL]
SECOND_OF_TWO: dict[str, dict[str, str]] = {
    "submitit": {
        "SUBMITIT_EXECUTOR": "local", "SUBMITIT_LOCAL_GLOBALID": "1", "SUBMITIT_LOCAL_LOCALID": "1",
        "SUBMITIT_LOCAL_NTASKS": "2",
    },
    "mpirun": {
        f"OMPI_COMM_WORLD_{name}": value
        for name, value in (("RANK", "1"), ("SIZE", "2"), ("LOCAL_RANK", "1"), ("LOCAL_SIZE", "2"))
    },
    "slurm": {
        "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", "SLURM_LOCALID": "1", "SLURM_NODEID": "0",
        "SLURM_STEP_TASKS_PER_NODE": "2",
    },
    "null": {"NULL_RANK": "1"},
}  # fmt: skip
"""What each launcher gives to the second of two ranks, but for what the job itself does."""


def second_of_two(launcher: Launcher) -> dict[str, str]:
    given = launcher.variables({}, "gloo", 1) if isinstance(launcher, JobLauncher) else {}
    return {**SECOND_OF_TWO[launcher.name], **given}


# --- of a rank


@pytest.mark.parametrize("launcher", ALL, ids=NAMES)
def test_a_rank_is_known_by_its_launcher_and_by_no_other(launcher: Launcher) -> None:
    env = second_of_two(launcher)
    found = {one.name: info for one in ALL if (info := one.rank_info(env)) is not None}
    assert list(found) == [launcher.name]
    info = found[launcher.name]
    assert (info.rank, info.size, info.local_rank, info.local_size, info.node) == (1, 2, 1, 2, 0)
    assert find_rank_info(env, ALL) == info


@pytest.mark.parametrize("launcher", ALL, ids=NAMES)
def test_a_process_that_nothing_has_started_has_no_launcher(launcher: Launcher) -> None:
    assert launcher.rank_info({}) is None
    assert find_rank_info({"HOME": "/"}, ALL) == RankInfo()


@pytest.mark.parametrize("launcher", ALL, ids=NAMES)
def test_a_rank_that_is_left_in_doubt_says_what_to_unset(launcher: Launcher) -> None:
    env = second_of_two(launcher)
    env[next(iter(name for name in env if name.endswith(("ID", "RANK"))))] = "second"
    with pytest.raises(LauncherError) as refused:
        launcher.rank_info(env)
    unset = str(refused.value).partition("`unset ")[2].partition("`")[0].split()
    assert unset
    assert find_rank_info({n: value for n, value in env.items() if n not in unset}, ALL) == RankInfo()


@pytest.mark.parametrize("inner", ["submitit", "mpirun"])
def test_what_is_started_within_a_job_of_ours(inner: str) -> None:
    """A worker of this machine is its own; a rank of the job stays one, whatever MPI says of it."""
    env = {**second_of_two(Slurm()), **SECOND_OF_TWO[inner]}
    assert find_rank_info(env).launcher == {"submitit": "submitit", "mpirun": "srun"}[inner]


def test_ranks_of_jobs_that_name_no_launcher_are_slurms() -> None:
    """Earlier versions had no other."""
    env = second_of_two(Slurm())
    del env["HPC_LAUNCHER"]
    assert find_rank_info(env, ALL).launcher == "srun"
    assert launcher_of(env).name == launcher_of({}).name == "slurm"
    assert Launch.of_json({"number": 1, "jobs": [], "python": "", "cwd": ""}).launcher == "slurm"


def test_which_launchers_there_are() -> None:
    assert [type(one) for one in LAUNCHERS] == [Submitit, Mpirun, Slurm]
    assert all(JOB_LAUNCHERS[one.name] is one for one in LAUNCHERS if isinstance(one, JobLauncher))
    for cluster in ("local", "slurm"):
        assert SCHEDULERS[cluster](Named(cluster, Profile(cluster=cluster))).launcher in NAMES


# --- of a job


class Site:
    """A job of two ranks, job 0 of its array, that runs.

    Attributes:
        stand: lets the scheduler say how the job stands, and refuse to requeue it with some words.
    """

    def __init__(
        self,
        folder: Path,
        fake: FakeSlurm,
        job_id: str,
        scheduler: type[Scheduler],
        launcher: JobLauncher,
        stand: Callable[[Standing, str], None],
    ) -> None:
        self.run = new_run(folder / "run", trials=2)
        self.fake = fake
        self.job_id = job_id
        self.scheduler = scheduler
        self.launcher = launcher
        self.stand = stand
        self.slept: list[float] = []

    def carry_out(self, *steps: str, requeues: int = 3) -> int:
        """Let the supervisor work, whose starts of ranks do these steps; its exit code."""
        self.fake.change(steps=list(steps))
        folder = self.run.folder / "jobs" / "1"
        worker = WorkerSpec(ranks=2, threads=0)
        Launch(
            1, (("t0", "t1"),), worker, "python3", "/", backend="gloo", requeues=requeues,
            launcher=self.scheduler.launcher,
        ).write(folder)  # fmt: skip
        launchers = {**JOB_LAUNCHERS, self.launcher.name: self.launcher}
        code = supervise(folder, 0, launchers=launchers, sleep=self.slept.append)
        self.run.refresh()
        return code

    def records(self, kind: str) -> list[dict[str, object]]:
        lines = (self.run.records / f"{self.job_id}.jsonl").read_bytes().splitlines()
        return [record for record in map(parse, lines) if record.get("record") == kind]

    def reasons(self) -> list[str]:
        return [trial.attempt.reason or trial.state for trial in self.run.trials.values()]


@pytest.fixture(params=["slurm", "null"])
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    fake = FakeSlurm.install(tmp_path / "slurm", monkeypatch)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR2)}
    found = {"slurm": of_slurm, "null": of_nothing}[request.param](tmp_path, fake, monkeypatch)
    monkeypatch.chdir(found.run.folder / "jobs" / "1")
    yield found
    for number, handler in before.items():
        signal.signal(number, handler)


def of_nothing(folder: Path, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> Site:
    launcher = Null()

    def stand(standing: Standing, refuses: str) -> None:
        launcher.says, launcher.refuses = standing, refuses

    return Site(folder, fake, "5_0", NullScheduler, launcher, stand)


def of_slurm(folder: Path, fake: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> Site:
    fake.quick(monkeypatch)

    def stand(standing: Standing, refuses: str) -> None:
        if standing.is_ending:
            fake.set("101_0", "CANCELLED")
        if refuses:
            fake.fail("scontrol", "ok", refuses)

    found = Site(folder, fake, "101_0", SlurmScheduler, Slurm(sleep=lambda seconds: None), stand)
    queue(fake, found.run.folder, size=1)
    fake.set("101_0", "RUNNING", nodes="here")
    for name, value in {
        "SLURM_ARRAY_JOB_ID": "101", "SLURM_ARRAY_TASK_ID": "0", "SLURM_JOB_ID": "101",
        "SLURMD_NODENAME": "here", "SLURM_JOB_NAME": "hpc-small-a.0",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return found


def test_a_job_knows_itself_and_carries_its_trials_out(site: Site) -> None:
    assert site.carry_out() == 0
    assert site.reasons() == ["finished", "finished"]
    (began,) = site.records("began")
    assert [began[name] for name in ("job", "name", "restart", "node")] == [
        site.job_id, "hpc-small-a.0", 0, "here",
    ]  # fmt: skip


def test_ranks_find_who_has_started_them(site: Site) -> None:
    told = "[record('note', text=f'{name}={value}') for name, value in environment.items()]; finish()"
    assert site.carry_out(told) == 0
    said = {note["text"] for note in site.records("note")}
    assert {"HPC_BACKEND=gloo", "HPC_GROUPS=1", f"HPC_LAUNCHER={site.launcher.name}"} <= said
    given = site.launcher.variables({"HPC_DATA": "/data"}, "gloo", 1)
    assert for_jobs(given) == {"HPC_DATA": "/data"}  # that is of this start only


def test_what_ranks_print_and_why_they_end_is_told(site: Site) -> None:
    site.carry_out("start(0); log('ValueError: no', rank=1); log('epoch 2'); end(1)")
    assert site.reasons() == ["error", "finished"]
    error = site.run.trials["t0"].attempt.error
    assert error.splitlines()[0] == "ValueError: no"
    assert error.endswith("rank 1:\nValueError: no")


def test_an_end_without_a_word_is_told_by_the_name_of_the_command(site: Site) -> None:
    site.carry_out("start(0); end(7)")
    error = site.run.trials["t0"].attempt.error
    assert error.splitlines()[0] == f"{site.launcher.starter} ended with exit code 7"


def test_memory_that_ran_out_is_the_reason(site: Site) -> None:
    site.carry_out("start(0); say('Out of memory: killed process 7'); end(137)")
    assert site.reasons() == ["out-of-memory", "finished"]


def test_a_job_that_was_stopped_goes_back_into_the_queue(site: Site) -> None:
    assert site.carry_out("start(0); stop(0)") == 0
    assert [record["restart"] for record in site.records("requeued")] == [0]
    assert site.reasons() == ["waiting", "waiting"]
    assert site.slept == [120]  # until the scheduler ends it


def test_a_requeue_that_is_refused_is_told(site: Site) -> None:
    site.stand(Standing(), "not allowed here")
    site.carry_out("start(0); stop(0)")
    (unfit,) = site.records("unfit")
    assert str(unfit["error"]).startswith("the job could not be requeued: ")
    assert "not allowed here. `hpc resume` goes on with it" in str(unfit["error"])


def test_a_job_that_is_ended_from_outside_judges_nothing(site: Site) -> None:
    site.stand(Standing(is_ending=True), "")
    assert site.carry_out("start(0); end(143)") == 0
    assert site.reasons() == ["running", "waiting"]
    assert site.carry_out("start(1); stop(1)") == 0
    assert site.records("requeued") == []


def test_what_ran_when_the_job_began_anew_goes_on(site: Site) -> None:
    start(site.run, site.job_id, 0)
    write(site.run, site.job_id, ("began", {"job": site.job_id, "launch": 1, "number": 0, "node": "here"}))
    assert site.carry_out() == 0
    (stopped,) = site.records("stopped")
    assert stopped["why"] == f"the job was started anew by {site.launcher.scheduler}"
    assert site.reasons() == ["finished", "finished"]


def test_a_silent_scheduler_ends_no_job(site: Site) -> None:
    site.fake.fail("scontrol", "unreachable", always=True)
    job = Job(site.job_id, "", 0, 0, "")
    assert site.launcher.standing(job) == Standing()


@pytest.mark.parametrize("launcher", [Slurm(), Null()], ids=["slurm", "null"])
def test_output_that_says_nothing_accuses_nobody(launcher: JobLauncher) -> None:
    for said in ("", "hello", "epoch 3: 0.5"):
        assert launcher.died_first(said) is None
        assert not launcher.tells_of_a_stop(said)
        assert launcher.reason_in(said) == "error"


@pytest.mark.parametrize("launcher", [Slurm(), Null()], ids=["slurm", "null"])
def test_what_is_not_said_of_a_node_is_taken_from_it(launcher: JobLauncher) -> None:
    assert (launcher.node({}), launcher.gpus({})) == ("", None)
    assert launcher.granted_cpus({}, 1) >= launcher.granted_cpus({}, 10_000) == 1
