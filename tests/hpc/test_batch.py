"""The batch script, and how trials become arrays of jobs."""

from __future__ import annotations

import difflib
import json
import os
import random
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpc.jobs.launch import Launch
from hpc.profile import Profile
from hpc.schedulers.base import JobArray
from hpc.schedulers.batch import arrays, deal, launch, max_array_size, name_of, script

GOLDEN = Path(__file__).with_name("batch_script.sh")
ACCEPT = "HPC_ACCEPT"
ARRAY = JobArray("hpc-digits-a1b2c3.1", first=1001, size=8, workers=4, memory=2.0)
FULL = {
    "nodes": 2,
    "gpus_per_node": 4,
    "cpus_per_rank": 8,
    "mem_gb": 60,
    "time_min": 240,
    "partition": "gpu",
    "account": "myproject",
    "qos": "long",
    "constraint": "a100&nvlink",
    "sbatch": {"exclusive": True, "mail_type": "END,FAIL", "comment": "it's mine", "overcommit": False},
    "setup": ["module load cuda", 'export NOTE="two words"'],
    "python": "apptainer exec image.sif python3",
    "signal_seconds": 120,
}


def slurm(**options: Any) -> Profile:
    return Profile.model_validate({"cluster": "slurm", **options})


def directives(profile: Profile, array: JobArray = ARRAY) -> list[str]:
    lines = script(profile, array, Path("/runs/digits/jobs/1")).splitlines()
    return [line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH ")]


def test_the_batch_script_is_the_one_that_was_accepted() -> None:
    text = script(slurm(**FULL), ARRAY, Path("/home/me/runs/digits/jobs/1"))
    if os.environ.get(ACCEPT):
        GOLDEN.write_text(text)
    accepted = GOLDEN.read_text() if GOLDEN.exists() else ""
    changes = difflib.unified_diff(accepted.splitlines(), text.splitlines(), "accepted", "now", lineterm="")
    if text != accepted:
        pytest.fail(
            "\n".join([f"The batch script has changed; {ACCEPT}=1 pytest {__file__} accepts it:", *changes]),
            pytrace=False,
        )


# --- options


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({}, "nodes=1"),
        ({}, "ntasks-per-node=1"),
        ({}, "time=60"),
        ({}, "requeue"),
        ({}, "signal=USR2@90"),
        ({}, "open-mode=append"),
        ({}, "output=%A_%a_log.out"),
        ({}, "array=0-7%4"),
        ({}, "job-name=hpc-digits-a1b2c3.1"),
        ({"nodes": 3}, "nodes=3"),
        ({"ranks_per_node": 4}, "ntasks-per-node=4"),
        ({"gpus_per_node": 4}, "ntasks-per-node=4"),
        ({"gpus_per_node": 4}, "gpus-per-node=4"),
        ({"gpus_per_node": 4, "ranks_per_node": 2}, "ntasks-per-node=2"),
        ({"cpus_per_rank": 6}, "cpus-per-task=6"),
        ({"time_min": 1}, "time=1"),
        ({"partition": "gpu"}, "partition=gpu"),
        ({"account": "me"}, "account=me"),
        ({"qos": "long"}, "qos=long"),
        ({"constraint": "a100|h100"}, "constraint='a100|h100'"),
        ({"signal_seconds": 300}, "signal=USR2@300"),
        ({"requeues": 0}, "no-requeue"),
        ({"sbatch": {"exclusive": True}}, "exclusive"),
        ({"sbatch": {"exclusive": "user"}}, "exclusive=user"),
        ({"sbatch": {"mail_type": "END"}}, "mail-type=END"),
        ({"sbatch": {"mail-type": "END"}}, "mail-type=END"),
        ({"sbatch": {"nice": 100}}, "nice=100"),
        ({"sbatch": {"comment": "two words"}}, "comment='two words'"),
        ({"sbatch": {"gres": "gpu:a100:2"}}, "gres=gpu:a100:2"),
    ],
)
def test_options_of_the_profile_reach_the_script(options: dict[str, Any], line: str) -> None:
    assert line in directives(slurm(**options))


@pytest.mark.parametrize(
    ("options", "absent"),
    [
        ({}, "mem="),
        ({}, "partition="),
        ({}, "gpus-per-node="),
        ({}, "cpus-per-task="),
        ({}, "no-requeue"),
        ({}, "wckey="),
        ({}, "error="),
        ({"requeues": 0}, "requeue"),
        ({"sbatch": {"exclusive": False}}, "exclusive"),
        ({"gpus_per_node": 0}, "gpus-per-node="),
    ],
)
def test_what_the_profile_leaves_open_is_left_to_the_site(options: dict[str, Any], absent: str) -> None:
    assert not [line for line in directives(slurm(**options)) if line.startswith(absent)]


@pytest.mark.parametrize(
    ("mem_gb", "factor", "expected"),
    [(16, 1.0, "16GB"), (16, 2.0, "32GB"), (1.5, 1.0, "1536MB"), (1.5, 2.0, "3GB"), (0.5, 1.5, "768MB")],
)
def test_memory_grows_for_trials_that_ran_out_of_it(mem_gb: float, factor: float, expected: str) -> None:
    array = JobArray("a", 0, 1, 1, factor)
    assert f"mem={expected}" in directives(slurm(mem_gb=mem_gb), array)


def test_lines_of_setup_come_before_the_command_and_after_the_options() -> None:
    lines = script(slurm(**FULL), ARRAY, Path("/runs")).splitlines()
    setup, command = lines.index("module load cuda"), next(i for i, s in enumerate(lines) if "exec " in s)
    assert max(i for i, line in enumerate(lines) if line.startswith("#SBATCH")) < setup < command
    assert lines[setup + 1] == 'export NOTE="two words"'


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        ({}, "ranks", 1),
        ({"nodes": 2, "gpus_per_node": 4}, "ranks", 8),
        ({"nodes": 2, "ranks_per_node": 3, "groups": 2}, "groups", 2),
        ({}, "backend", "auto"),
        ({"backend": "gloo"}, "backend", "gloo"),
        ({"mpi": "pmi2"}, "mpi", "pmi2"),
        ({"srun": ["--label"]}, "srun", ("--label",)),
        ({"gpus_per_node": 1}, "gpus", True),
        ({"gpus_per_node": 1, "allow_cpu": True}, "gpus", False),
        ({}, "gpus", False),
        ({"cpus_per_rank": 3}, "threads", 3),
        ({"checkpoint_min": 0.5}, "checkpoint_min", 0.5),
        ({"requeues": 3}, "requeues", 3),
        ({}, "retry", {"node-failure": 2, "out-of-memory": 1}),
        ({"retry": {"error": 1}}, "retry", {"error": 1}),
        ({"python": "python3 -E"}, "python", "python3 -E"),
    ],
)
def test_options_of_the_profile_reach_the_jobs(
    tmp_path: Path, options: dict[str, Any], field: str, value: object
) -> None:
    written = launch(slurm(**options), 1, [("t0", "t1"), ("t2",)])
    written.write(tmp_path)
    found = Launch.read(tmp_path)
    assert getattr(found if hasattr(found, field) else found.worker, field) == value
    assert Launch.read(tmp_path) == written


def test_our_own_variables_reach_the_jobs_whatever_sbatch_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPC_DATA", "/data")
    assert launch(slurm(sbatch={"export": "NONE"}), 1, [("t0",)]).environment["HPC_DATA"] == "/data"


# --- what bash makes of it


def told_to_python(python: Path, command: str, folder: Path) -> Any:
    """What the Python of a batch script hears, when bash runs it: arguments, and two variables."""
    python.write_text(
        f"#!{sys.executable} -SE\nimport json, os, sys\n"
        "print(json.dumps([sys.argv[1:], os.environ['NOTE'], os.environ['PYTHONSAFEPATH']]))\n"
    )
    python.chmod(0o755)
    text = script(slurm(python=command, setup=["export NOTE='two  words'"]), ARRAY, folder)
    assert subprocess.run(["bash", "-n"], input=text, text=True).returncode == 0
    assert f"/{folder.parts[-3]}" not in "".join(s for s in text.splitlines() if s.startswith("#"))
    done = subprocess.run(["bash"], input=text, capture_output=True, text=True, cwd=python.parent)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "name", ["plain", "a b", "it's", 'say "so"', "two\nlines", "$HOME", "`id`", "a\\b", "#x", "é", "*", "-n"]
)
def test_bash_runs_the_command_whatever_the_folder_is_called(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name / "jobs" / "1"
    python = tmp_path / "python"
    arguments = ["-X", "utf8", "-u", "-m", "hpc.jobs", "job", str(folder), "1001"]
    assert told_to_python(python, f"{python} -X utf8", folder) == [arguments, "two  words", "1"]


@pytest.mark.parametrize("name", ["my python", "it's python"])
def test_the_path_of_python_may_have_blanks(tmp_path: Path, name: str) -> None:
    python = tmp_path / name
    arguments = ["-E", "-u", "-m", "hpc.jobs", "job", "/run/jobs/1", "1001"]
    heard = told_to_python(python, f"{shlex.quote(str(python))} -E", Path("/run/jobs/1"))
    assert heard == [arguments, "two  words", "1"]


# --- dealing


@pytest.mark.parametrize(
    ("trials", "workers", "options", "expected"),
    [
        (1, 4, {}, [(0,)]),
        (4, 4, {}, [(0,), (1,), (2,), (3,)]),
        (5, 2, {}, [(0, 2, 4), (1, 3)]),
        (5, 1, {}, [(0, 1, 2, 3, 4)]),
        (5, 2, {"trials_per_job": 1}, [(0,), (1,), (2,), (3,), (4,)]),
        (5, 2, {"trials_per_job": 2}, [(0, 3), (1, 4), (2,)]),
        (5, 2, {"trials_per_job": 9}, [(0, 1, 2, 3, 4)]),
        (5, 4, {"groups": 2, "ranks_per_node": 2}, [(0, 3), (1, 4), (2,)]),
        (2, 4, {"groups": 4, "ranks_per_node": 4}, [(0, 1)]),
    ],
)
def test_trials_are_dealt_in_turn(
    trials: int, workers: int, options: dict[str, int], expected: list[tuple[int, ...]]
) -> None:
    dealt = deal([f"t{place}" for place in range(trials)], slurm(**options), workers)
    assert dealt == [tuple(f"t{place}" for place in job) for job in expected]


def test_every_trial_is_dealt_exactly_once() -> None:
    draw = random.Random(0)
    for _ in range(50):
        trials = [f"t{place}" for place in draw.sample(range(10_000), draw.randint(1, 3000))]
        groups = draw.choice([1, 1, 2, 4])
        options = {
            "groups": groups,
            "ranks_per_node": groups,
            "trials_per_job": draw.choice([None, 1, 3, 50]),
        }
        workers = draw.randint(1, 300)
        jobs = deal(trials, slurm(**options), workers)
        assert sorted(name for job in jobs for name in job) == sorted(trials)
        assert all(jobs)
        assert max(map(len, jobs)) - min(map(len, jobs)) <= 1
        limit = options["trials_per_job"]
        assert max(map(len, jobs)) <= limit if limit else len(jobs) <= workers


@pytest.mark.parametrize(
    ("sizes", "workers", "limit", "expected"),
    [
        ({1.0: 1}, 4, 1001, [(0, 1, 1, 1.0)]),
        ({1.0: 8}, 4, 1001, [(0, 8, 4, 1.0)]),
        ({1.0: 1001}, 4, 1001, [(0, 1001, 4, 1.0)]),
        ({1.0: 1002}, 4, 1001, [(0, 1001, 4, 1.0), (1001, 1, 1, 1.0)]),
        ({1.0: 2500}, 16, 1001, [(0, 1001, 16, 1.0), (1001, 1001, 16, 1.0), (2002, 498, 16, 1.0)]),
        ({1.0: 3, 2.0: 2}, 4, 1001, [(0, 3, 3, 1.0), (3, 2, 2, 2.0)]),
        ({1.0: 3, 2.0: 2}, 4, 2, [(0, 2, 2, 1.0), (2, 1, 1, 1.0), (3, 2, 2, 2.0)]),
        ({1.0: 3}, 4, 1, [(0, 1, 1, 1.0), (1, 1, 1, 1.0), (2, 1, 1, 1.0)]),
        ({}, 4, 1001, []),
    ],
)
def test_arrays_are_as_long_as_the_cluster_takes(
    sizes: dict[float, int], workers: int, limit: int, expected: list[tuple[int, int, int, float]]
) -> None:
    found = arrays("hpc-digits-a1b2c3", sizes, workers, limit)
    assert [(a.first, a.size, a.workers, a.memory) for a in found] == expected
    assert [a.name for a in found] == [f"hpc-digits-a1b2c3.{n}" for n in range(len(found))]


def test_arrays_hold_every_job_exactly_once() -> None:
    draw = random.Random(1)
    for _ in range(50):
        sizes = {factor: draw.randint(1, 3000) for factor in draw.sample([1.0, 2.0, 4.0], draw.randint(1, 3))}
        limit = draw.choice([1, 2, 7, 1001, 4001])
        found = arrays("a", sizes, draw.randint(1, 64), limit)
        jobs = [job for array in found for job in range(array.first, array.first + array.size)]
        assert jobs == list(range(sum(sizes.values())))
        assert all(array.size <= limit and array.workers <= array.size for array in found)


@pytest.mark.parametrize(
    ("config", "expected"),
    [({"MaxArraySize": "1001"}, 1001), ({"MaxArraySize": "4000001"}, 4000001), ({"MaxArraySize": "0"}, 0),
     ({}, 1001), ({"MaxArraySize": "N/A"}, 1001),
     ({"MaxArraySize": "4001", "SchedulerParameters": "bf_continue,max_array_tasks=100"}, 100)],
)  # fmt: skip
def test_the_length_of_arrays_is_the_clusters(config: dict[str, str], expected: int) -> None:
    assert max_array_size(config) == expected


@pytest.mark.parametrize(
    ("sweep", "expected"),
    [
        ("digits", "hpc-digits-0a"),
        ("my sweep, v2", "hpc-my-sweep--v2-0a"),
        ("größe/x", "hpc-gr--e-x-0a"),
        ("a" * 200, f"hpc-{'a' * 60}-0a"),
        ("50%", "hpc-50--0a"),
    ],
)
def test_names_of_jobs_can_be_asked_for_by_squeue(sweep: str, expected: str) -> None:
    assert name_of(sweep, "0a") == expected
