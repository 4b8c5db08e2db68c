"""Profiles: which files are read, what they may say, and what is wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hpc.cli.app import app
from hpc.profile import BUILTIN, OURS, SLURM_ONLY, Profile, Resources, available, files, find, resources
from hpc.profile import with_options as changed
from hpc.sweeps import SweepError


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The folders that are looked into: none has a file yet."""
    found = {name: tmp_path / name for name in ("sweep", "here", "config/hpc-sweeps")}
    for folder in found.values():
        folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return found


def put(folder: Path, text: str, name: str = "profiles.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def problems(text: str) -> list[str]:
    """What is wrong with a file, without its name."""
    path = put(Path.cwd(), text)
    with pytest.raises(SweepError) as caught:
        available()
    found = caught.value.problems
    assert all(problem.startswith(str(path)) for problem in found)
    return [problem.removeprefix(str(path)).removeprefix(", ") for problem in found]


def slurm(**options: Any) -> Profile:
    return Profile.model_validate({"cluster": "slurm", **options})


# --- what a file may say


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{cluster: slurm}", {}),
        ("{cluster: slurm, mem_gb: 16}", {"mem_gb": 16.0}),
        ("{cluster: slurm, mem_gb: 1.5, checkpoint_min: 0}", {"mem_gb": 1.5, "checkpoint_min": 0.0}),
        ("{cluster: slurm, nodes: 2, gpus_per_node: 4}", {"ranks_of_node": 4}),
        ("{cluster: slurm, gpus_per_node: 4, ranks_per_node: 2}", {"ranks_of_node": 2}),
        ("{cluster: slurm, gpus_per_node: 1, ranks_per_node: 2, allow_cpu: true}", {"ranks_of_node": 2}),
        ("{cluster: slurm, sbatch: {mail-type: END, nice: 5}}", {"sbatch": {"mail-type": "END", "nice": 5}}),
        ("{cluster: slurm, sbatch: {mail_type: END}}", {"sbatch": {"mail_type": "END"}}),
        ("{cluster: slurm, sbatch: {exclusive: true}}", {"sbatch": {"exclusive": True}}),
        ("{cluster: slurm, retry: {timeout: 3}}", {"retry": {"timeout": 3}}),
        ("{cluster: slurm, requeues: 0}", {"requeues": 0}),
        ("{cluster: slurm, nodes: 2, ranks_per_node: 3, groups: 3}", {"groups": 3}),
        ("{cluster: local, workers: 2, ranks: 2}", {"workers": 2, "ranks": 2}),
        ("\n  cluster: slurm\n  setup:\n  - module load cuda\n", {"setup": ["module load cuda"]}),
    ],
)
def test_a_file_may_say(text: str, expected: dict[str, Any]) -> None:
    path = put(Path.cwd(), f"mine: {text}\n")
    named = find("mine")
    assert (named.name, named.source) == ("mine", str(path))
    assert {name: getattr(named.profile, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("partion: gpu", 'mine.partion: is not known here (did you mean "partition"?); known are cluster'),
        ("gpus-per-node: 2", "mine.gpus-per-node: is not known here (did you mean "),
        ("gpus-per-node: 2", "gpus_per_node"),
        ("mail_type: END", "Any other option of sbatch goes under sbatch: {mail-type: …}."),
        ("nodes: two", "mine.nodes: 'two' is not a whole number."),
        ("nodes: 0", "mine.nodes: 0 is not a number of at least 1."),
        ("nodes: 1.0", "mine.nodes: 1.0 is not a whole number."),
        ("workers: true", "mine.workers: True is not a whole number."),
        ("time_min: '60'", "mine.time_min: '60' is not a whole number."),
        ("mem_gb: 16G", "mine.mem_gb: '16G' is not a number."),
        ("mem_gb: 0", "mine.mem_gb: 0 is not a number above 0"),
        ("mem_gb: .inf", "mine.mem_gb: inf is not "),
        ("partition: 3", "mine.partition: 3 is not a word."),
        ("allow_cpu: 'yes'", "mine.allow_cpu: 'yes' is not true or false."),
        ("setup: module load cuda", "mine.setup: 'module load cuda' is not a list, [one, two]."),
        ("setup: [1]", "mine.setup[0]: 1 is not a word."),
        ("sbatch: [exclusive]", "mine.sbatch: ['exclusive'] is not a group of `name: value` lines."),
        ("sbatch: {nice: [1]}", "mine.sbatch.nice: [1] is not "),
        ("sbatch: {--nice: 1}", "--nice is written without dashes before it: nice."),
        ("sbatch: {time: 60}", "time is not for here: write time_min: 240 outside sbatch."),
        ("sbatch: {job_name: x}", "job_name is not for here: hpc finds its jobs again by their names."),
        ("sbatch: {wait: true}", "wait is not for here: "),
        ("retry: {diverged: 1}", "mine.retry: 'diverged' is not 'error', 'out-of-memory', 'timeout', "),
        ("retry: {error: -1}", "mine.retry.error: -1 is not a number of at least 0."),
        ("backend: nccl", "mine.backend: 'nccl' is not 'auto', 'mpi' or 'gloo'."),
        ("{mpi: pmix, backend: gloo}", "mine.mpi: is of no effect with backend: gloo."),
        ("{nodes: 2, groups: 4}", "mine.groups: 2 nodes of 1 ranks can't be split into 4 equal groups."),
        ("{gpus_per_node: 2, ranks_per_node: 3}", "mine.ranks_per_node: 3 ranks can't share 2 GPUs; each"),
        ("ranks: 2", "mine.ranks: is not for SLURM: write nodes and ranks_per_node."),
        ('partition: "two\\nlines"', "mine.partition: 'two\\nlines' has more than one line."),
        ('sbatch: {comment: "two\\nlines"}', "'two\\nlines' has more than one line."),
        ("python: ''", "mine.python: '' names no command."),
        ("python: it's", 'mine.python: "it\'s" '),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_would_be_right(line: str, problem: str) -> None:
    entries = line.strip("{}") if line.startswith("{") else line
    rows = entries.split(", ") if line.startswith("{") else [entries]
    text = "\n".join(["# ours", "mine:", "  cluster: slurm", *(f"  {row}" for row in rows), ""])
    (found,) = problems(text)
    assert problem in found
    number = next(n for n, row in enumerate(text.splitlines(), 1) if row.strip() and n > 3)
    assert found.startswith(tuple(f"line {n}: mine." for n in range(number, number + len(rows))))


@pytest.mark.parametrize("name", SLURM_ONLY)
def test_what_only_slurm_has_is_refused_elsewhere(name: str) -> None:
    values = {"sbatch": "{nice: 1}", "srun": "[--label]", "setup": "[ls]", "retry": "{error: 1}",
              "backend": "gloo", "allow_cpu": "true", "signal_seconds": "60", "groups": "1",
              "snapshot": "false"}  # fmt: skip
    words = ("partition", "account", "qos", "constraint", "python", "mpi")
    value = values.get(name, "x" if name in words else "1")
    assert problems(f"mine: {{cluster: local, {name}: {value}}}\n") == [
        f"line 1: mine.{name}: is for cluster: slurm only."
    ]


def test_every_option_of_slurm_is_known_to_be_one() -> None:
    anywhere = {"cluster", "workers", "ranks", "checkpoint_min", "measure", "storage"}
    assert {*SLURM_ONLY, *anywhere} == set(Profile.model_fields)


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("spelled", ["{}", "--{}"])
def test_options_of_sbatch_that_have_a_place_of_their_own_are_refused(name: str, spelled: str) -> None:
    option = spelled.format(name.replace("-", "_"))
    (found,) = problems(f"mine:\n  cluster: slurm\n  sbatch:\n    nice: 1\n    {option}: 1\n")
    assert found.endswith(f"{option} is not for here: {OURS[name]}.")
    assert found.startswith("line ")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", ": is empty; a file of profiles starts with the name of a profile."),
        ("# nothing\n", ": is empty; a file of profiles starts with"),
        ("- mine\n", "not key: value lines; a file of profiles starts with"),
        ("mine: {cluster: [\n", "is not YAML"),
        ("mine: {cluster: slurm}\nmine: {cluster: slurm}\n", "line 2: mine: is given twice; each name may"),
        ("mine:\n  cluster: slurm\n  nodes: 1\n  nodes: 2\n", "line 4: nodes: is given twice"),
        ("mine:\n", "line 1: mine: None is not a group of `name: value` lines."),
        ("mine: slurm\n", "line 1: mine: 'slurm' is not a group of `name: value` lines."),
        ("mine: {nodes: 2}\n", "line 1: mine.cluster: is missing; write `cluster: slurm`."),
        ("mine: {cluster: slrum}\n", "line 1: mine.cluster: 'slrum' is not 'local', 'debug' or 'slurm'."),
        ("local: {cluster: local}\n", "line 1: local: is built in; give yours another name."),
        ("debug: {cluster: slurm}\n", "line 1: debug: is built in; give yours another name."),
    ],
)
def test_a_file_that_is_none_of_profiles_says_so(text: str, problem: str) -> None:
    (found,) = problems(text)
    assert problem in found


def test_all_mistakes_of_all_files_are_told_at_once(places: dict[str, Path]) -> None:
    put(places["sweep"], "one: {cluster: slurm, nodes: 0, time_min: 0}\n")
    put(places["here"], "two: {cluster: slurm}\nthree: {cluster: slurm, ranks: 2, nodes: 3, groups: 2}\n")
    with pytest.raises(SweepError) as caught:
        find("two", [places["sweep"]])
    assert [problem.split(": ")[1] for problem in caught.value.problems] == [
        "three.ranks", "three.groups", "one.nodes", "one.time_min",
    ]  # fmt: skip


# --- where files are looked for


def test_the_nearer_file_counts_more(places: dict[str, Path]) -> None:
    given = put(places["here"].parent, "mine: {cluster: slurm, nodes: 1}\n", "given.yaml")
    paths = [given]
    for nodes, name in enumerate(("sweep", "here", "config/hpc-sweeps"), 2):
        paths.append(
            put(places[name], f"mine: {{cluster: slurm, nodes: {nodes}}}\nonly{nodes}: {{cluster: slurm}}\n")
        )
    sweep = [places["sweep"]]
    assert files(sweep, given) == paths
    assert find("mine", sweep, given).profile.nodes == 1
    assert find("mine", sweep).profile.nodes == 2
    assert find("mine").profile.nodes == 3
    paths[2].unlink()
    assert find("mine").profile.nodes == 4
    assert find("only4", sweep, given).source == str(paths[3])


def test_a_sweep_beside_which_one_works_has_its_file_read_once(places: dict[str, Path]) -> None:
    path = put(places["here"], "mine: {cluster: slurm}\n")
    assert files([Path(), Path.cwd()]) == [path]


def test_a_file_may_say_otherwise_of_slurm() -> None:
    assert find("slurm").profile == BUILTIN["slurm"]
    put(Path.cwd(), "slurm: {cluster: slurm, partition: gpu}\n")
    assert find("slurm").profile.partition == "gpu"


def test_a_given_file_must_be_there() -> None:
    put(Path.cwd(), "mine: {cluster: slurm}\n")
    with pytest.raises(SweepError, match=r'profile\.yaml: there is no such file \(did you mean "profiles'):
        find("mine", given=Path("profile.yaml"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mien", "--on mien: there is no profile 'mien' (did you mean \"mine\"?); there are local, debug, "),
        ("a100", "there are local, debug, slurm, mine (from "),
        ("Slurm", '(did you mean "slurm"?)'),
        ("", "there is no profile ''; there are"),
    ],
)
def test_a_profile_that_there_is_not(name: str, said: str) -> None:
    put(Path.cwd(), "mine: {cluster: slurm}\n")
    with pytest.raises(SweepError) as caught:
        find(name)
    assert said in str(caught.value)


def test_where_there_is_no_file_it_says_where_one_would_be() -> None:
    with pytest.raises(SweepError, match=r"there are local, debug, slurm; yours go into profiles\.yaml besi"):
        find("a100")


# --- the command line


@pytest.mark.parametrize(
    ("options", "asked", "expected"),
    [
        ({}, {}, {"workers": None, "ranks_of_node": 1}),
        ({"workers": 2}, {"workers": 8}, {"workers": 8}),
        ({}, {"ranks": 4}, {"ranks_of_node": 4, "gpus_per_node": 0}),
        ({"nodes": 2}, {"ranks": 4}, {"ranks_of_node": 2}),
        ({"nodes": 2, "gpus_per_node": 4}, {"ranks": 4}, {"ranks_of_node": 2, "gpus_per_node": 2}),
        ({"gpus_per_node": 4, "ranks_per_node": 4}, {"ranks": 2}, {"ranks_of_node": 2, "gpus_per_node": 4}),
    ],
)
def test_the_command_line_counts_more_than_the_profile(
    options: dict[str, int], asked: dict[str, int], expected: dict[str, int | None]
) -> None:
    profile = changed(slurm(**options), **asked)
    assert {name: getattr(profile, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("options", "asked", "said"),
    [
        ({}, {"workers": 0}, "--workers 0: must be at least 1."),
        ({}, {"ranks": -1}, "--ranks -1: must be at least 1."),
        ({"nodes": 2}, {"ranks": 3}, "--ranks 3: can't be spread evenly over 2 nodes; take a multiple of 2."),
        ({"nodes": 2}, {"ranks": 1}, "--ranks 1: can't be spread evenly over 2 nodes"),
        ({"groups": 4, "ranks_per_node": 4}, {"ranks": 6}, "--ranks 6: can't be split into 4 equal groups."),
        ({"gpus_per_node": 2, "ranks_per_node": 2}, {"ranks": 4}, "4 ranks can't share 2 GPUs"),
    ],
)
def test_a_command_line_that_does_not_fit_the_profile(
    options: dict[str, int], asked: dict[str, int], said: str
) -> None:
    with pytest.raises(SweepError) as caught:
        changed(slurm(**options), **asked)
    assert said in str(caught.value)


def test_a_profile_of_slurm_takes_nothing_of_this_machine() -> None:
    profile = slurm(nodes=2, gpus_per_node=4, cpus_per_rank=3)
    assert resources(profile, cpus=1, gpus=[]) == Resources("slurm", 4, 8, 3)
    assert resources(profile, workers=9, ranks=2, cpus=1, gpus=[]) == Resources("slurm", 9, 2, 3)


def test_profiles_are_listed_with_what_they_say_and_where() -> None:
    path = put(Path.cwd(), "mine: {cluster: slurm, nodes: 2, sbatch: {nice: 1}}\n")
    shown = CliRunner().invoke(app, ["list", "profiles"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["local", "debug", "slurm", "mine"]
    assert lines[-4:] == ["    cluster: slurm", "    nodes: 2", "    sbatch: {'nice': 1}", f"    from {path}"]


def test_profiles_of_a_given_file_are_listed() -> None:
    given = put(Path.cwd(), "other: {cluster: slurm}\n", "others.yaml")
    shown = CliRunner().invoke(app, ["list", "profiles", "--profiles", str(given)], env={"COLUMNS": "200"})
    assert "other\n    cluster: slurm\n    from " in shown.stdout


def test_a_mistake_in_a_file_is_told_by_the_command(tmp_path: Path) -> None:
    put(Path.cwd(), "mine: {cluster: slurm, partion: gpu}\n")
    shown = CliRunner().invoke(app, ["list", "profiles"])
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert shown.stderr.startswith(
        f"hpc: {tmp_path / 'here' / 'profiles.yaml'}, line 1: mine.partion: is not"
    )
