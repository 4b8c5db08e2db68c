"""The job of ``hpc doctor``: it looks around on a node, and lets the ranks meet once."""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from hpc.jobs.collectives import FileRendezvous, join_seconds, presence
from hpc.jobs.launch import Launch
from hpc.jobs.launchers import choose_backend, find_rank_info, launcher_of, mpi_vendor
from hpc.jobs.launchers.base import JobLauncher
from hpc.jobs.launchers.registry import JOB_LAUNCHERS
from hpc.jobs.node import complete, device
from hpc.results import write_text
from hpc.sweeps.text import message_of

CLOCK = "clock"
"""The file in which the login node writes its time again and again."""
STORAGE = "storage"
"""The file with the URL of the database that searches are kept in, if there is one."""
REPORT = "report.json"
PACKAGES = ("hpc-sweeps", "tensorflow", "keras", "numpy", "horovod", "mpi4py")
CONNECT_SECONDS = 20.0
"""How long a database may take to answer; a firewall may never."""
JOB_MIN = 5
"""The time limit of the job, in minutes."""
ALL_SECONDS = 260.0
"""How long all of it may take, the tries of the ranks to meet above all, so that the job can tell of them."""
LOST = 66
"""The exit code of a job that does not see its folder: it can't say more."""


def main(arguments: list[str]) -> int:
    """Run the job, or one of its ranks.

    Args:
        arguments: ``job`` and its folder; or ``rank`` and the file of the step.
    """
    # Ranks are signalled before a time limit; here nothing is to be saved.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    path = Path(arguments[1])
    return rank(path) if arguments[0] == "rank" else job(path)


def job(folder: Path) -> int:
    """Write what there is to see on this node, then let the ranks meet in every way there is.

    Args:
        folder: of the launch. The report in it is written anew after every step, so that a job
            that is killed has told of all before.
    """
    try:
        launch = Launch.read(folder)
    except OSError as error:
        print(f"{error}: this node does not see the folder that the job was submitted in.", file=sys.stderr)
        return LOST
    complete(os.environ, launch.environment)
    end = time.monotonic() + ALL_SECONDS
    launcher = JOB_LAUNCHERS[launch.launcher]
    report = {**look(folder, os.environ, launcher), "tries": [], "done": False}
    _write(folder, report)
    if (folder / STORAGE).exists():
        report["storage"] = reach((folder / STORAGE).read_text())
        _write(folder, report)
    vendor, plugins = mpi_vendor(), launcher.offered()
    report |= {"mpi_vendor": vendor, "mpi_offered": plugins}
    ways = ways_to_meet(launch, plugins, vendor)
    _write(folder, report)
    for number, (backend, mpi) in enumerate(ways):
        limit = (end - time.monotonic()) / (len(ways) - number)
        report["tries"].append(_try(folder, launch, launcher, backend, mpi, limit))
        _write(folder, report)
    report["done"] = True
    _write(folder, report)
    return 0


def look(folder: Path, env: Mapping[str, str], launcher: JobLauncher) -> dict[str, Any]:
    """A report on this machine, made without loading anything large.

    Args:
        folder: whose file system is asked for its free space.
        env: ``os.environ``.
        launcher: of the job's ranks.
    """
    host = socket.gethostname()
    return {
        "node": launcher.node(env) or host,
        "host": host,
        "python": platform.python_version(),
        "executable": sys.executable,
        "packages": versions(),
        "cpus": device.available_cpus(),
        "cuda_visible_devices": env.get("CUDA_VISIBLE_DEVICES"),
        "job_gpus": launcher.gpus(env),
        "devices": sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*")),
        **space(folder),
    }


def versions() -> dict[str, str | None]:
    """The packages that training stands on, and None for those that are missing."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def space(folder: Path) -> dict[str, int | None]:
    """Bytes and inodes that a user may yet take of a file system; None where it does not say."""
    status = os.statvfs(folder)
    return {
        "free_bytes": status.f_bavail * status.f_frsize,
        "free_inodes": status.f_favail if status.f_files else None,
    }


def reach(storage: str, limit_seconds: float = CONNECT_SECONDS) -> str:
    """The reason why this machine can't reach a database; empty if it can.

    Args:
        storage: its URL.
        limit_seconds: after which it is taken not to answer.
    """
    problems = [f"no answer within {limit_seconds:g} seconds"]

    def connect() -> None:
        from sqlalchemy import create_engine

        try:
            engine = create_engine(storage)
            engine.connect().close()
            engine.dispose()
            problems.append("")
        except Exception as error:  # of SQLAlchemy or the driver
            problems.append(f"{type(error).__name__}: {str(error).splitlines()[0]}")

    asking = threading.Thread(target=connect, daemon=True)  # drivers name their own limits each in its way
    asking.start()
    asking.join(limit_seconds)
    return problems[-1]


def ways_to_meet(launch: Launch, plugins: list[str], vendor: str) -> list[tuple[str, str]]:
    """Backends to try, each with the interface by which an MPI finds the ranks.

    Gloo comes first: an MPI that is not the one which starts the ranks may hang.

    Args:
        launch: of the job.
        plugins: the interfaces that the launcher offers.
        vendor: of the MPI that mpi4py loads, or empty.
    """
    if launch.ranks == 1:
        return [("none", "none")]
    ways = [("gloo", "none")]
    if launch.backend != "gloo":
        chosen = choose_backend(launch.backend, launch.mpi, plugins, vendor)
        if chosen[0] == "mpi":
            ways.append(chosen)
    return ways


def _try(
    folder: Path, launch: Launch, launcher: JobLauncher, backend: str, mpi: str, limit_seconds: float
) -> dict[str, Any]:
    """Start the ranks as the supervisor does, and collect what they tell."""
    step = folder / f"step-{backend}.json"
    variables = launcher.variables(os.environ, backend, launch.groups)
    settings = {
        "folder": str(folder),
        "label": backend,
        "threads": launch.worker.threads,
        "ranks": launch.ranks,
    }
    write_text(step, json.dumps({**settings, "environment": variables}))
    name = f"{launcher.job(os.environ).job_id}_{backend}"
    command = launcher.command(launch, name, mpi, ["canary", "rank", str(step)], os.environ)
    print(f"{' '.join(command)}  # {backend}", flush=True)
    env = {**os.environ, **variables}
    start = time.monotonic()
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, errors="replace")
    output, in_time = _output_until(process, limit_seconds)
    ranks = _told(folder, backend, launch.ranks if process.returncode == 0 else 0)
    error = next((one["error"] for one in ranks if one["error"]), "")
    if not in_time:
        error = error or f"the ranks did not end within {limit_seconds:.0f} seconds"
    elif process.returncode or len(ranks) < launch.ranks:
        error = error or _error_in(output) or f"{launcher.starter} ended with exit code {process.returncode}"
    logs = sorted(Path.cwd().glob(f"{name}_*_log.out")) if error else []
    return {
        "backend": backend,
        "mpi": mpi,
        "seconds": round(time.monotonic() - start, 1),
        "ranks": ranks,
        "error": error,
        "log": "\n".join([output[-2000:], *(_tail(path) for path in logs[:2])]).strip() if error else "",
    }


def _told(folder: Path, label: str, wanted: int) -> list[dict[str, Any]]:
    """Read the reports of the ranks; wait some seconds for those that are wanted."""
    for _ in range(50):
        paths = sorted(folder.glob(f"rank-{label}-*.json"))
        if len(paths) >= wanted:
            break
        (folder / ".again").touch()  # an NFS client shows an old listing unless it changes the folder
        (folder / ".again").unlink()
        time.sleep(0.2)
    return [json.loads(path.read_text()) for path in paths]


def _output_until(process: subprocess.Popen[str], limit_seconds: float) -> tuple[str, bool]:
    """The output of a process on stderr, and whether it has ended by itself."""
    try:
        return process.communicate(timeout=limit_seconds)[1], True
    except subprocess.TimeoutExpired:
        process.terminate()  # it ends the ranks
    try:
        return process.communicate(timeout=15)[1], False
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[1], False


def _error_in(output: str) -> str:
    lines = [line for line in output.splitlines() if "rror" in line]
    return lines[0] if lines else ""


def _tail(path: Path, lines: int = 15) -> str:
    return "\n".join([f"{path.name}:", *path.read_text(errors="replace").splitlines()[-lines:]])


def rank(path: Path) -> int:
    """Meet the others, add up ones, and write what came of it.

    Args:
        path: of the step's file: ``folder``, ``label``, ``threads``, ``ranks``, and ``environment`` as
            :class:`hpc.jobs.node.rank.RankSpec` has it.
    """
    step = json.loads(path.read_text())
    complete(os.environ, step["environment"])
    from hpc.jobs.collectives import World

    folder, label = Path(step["folder"]), str(step["label"])
    info = find_rank_info(os.environ)
    me = presence(info.rank, os.environ)
    number = info.group * info.size + info.rank
    report: dict[str, Any] = {"rank": number, "node": me.node, "size": info.size, "clock": _clock(folder)}
    report |= {
        "sum": None,
        "gpu": None,
        "gpus": None,
        "seconds_load": None,
        "seconds_join": None,
        "error": "",
    }
    target = folder / f"rank-{label}-{number:05}.json"
    launcher = launcher_of(os.environ)
    threads = step["threads"] or launcher.granted_cpus(os.environ, info.local_size)
    device.prepare(os.environ, threads)
    try:
        info.require(step["ranks"], launcher.between)
        if info.size > 1:
            # In the order of World, which can't be asked how long each part has taken.
            FileRendezvous(folder / f".before-{label}-{info.group}", me, info.size).gather(
                join_seconds(os.environ)
            )
            from hpc.jobs.collectives import horovod

            start = time.monotonic()
            horovod.load()
            report["seconds_load"] = round(time.monotonic() - start, 1)
        start = time.monotonic()
        world = World(info, folder, label)
        if info.size > 1:
            report["seconds_join"] = round(time.monotonic() - start, 1)
        report["gpu"] = device.start(threads, info.local_rank, 0, info.local_size)
        if info.size == 1:
            report["seconds_load"] = round(time.monotonic() - start, 1)
        report["gpus"] = _gpus()
        report["sum"] = world.add([1])[0]
        report["clock"] = _clock(folder)
        write_text(target, json.dumps(report))
        world.leave()
    except Exception as error:
        report["error"] = f"{type(error).__name__}: {message_of(error)}"
        write_text(target, json.dumps(report))
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # MPI and Horovod would wait for the other ranks
    return 0


def _gpus() -> int:
    import tensorflow as tf

    return len(tf.config.list_physical_devices("GPU"))


def _clock(folder: Path) -> dict[str, float | None]:
    """The time by the login node's clock, and this one's when that was read."""
    try:
        told = float((folder / CLOCK).read_text())
    except (OSError, ValueError):
        told = None
    return {"told": told, "read": time.time()}


def _write(folder: Path, report: dict[str, Any]) -> None:
    report["clock"] = _clock(folder)
    write_text(folder / REPORT, json.dumps(report))
