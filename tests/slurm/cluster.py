"""A real SLURM on this machine: daemons of Debian's packages, booted as root without systemd.

    with Cluster() as cluster:
        job = cluster.run("sbatch", "--parsable", "--wrap", "hostname").strip()

Everything lies in one folder, with its own ports, munge socket and database, so several clusters can live
side by side. By hand, in the project's folder:

    python -m tests.slurm.cluster start                # until Ctrl-C; prints what to export
    python -m tests.slurm.cluster start --no-accounting
    python -m tests.slurm.cluster stop FOLDER          # from anywhere, whoever started it

If the Python that started a cluster was killed (`kill -9`), its daemons live on; the third command ends them.
The folders are `/tmp/slurm-*` unless another was named.
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

PROGRAMS = {
    "munged": "munge",
    "slurmctld": "slurm-wlm",
    "slurmd": "slurm-wlm",
    "sbatch": "slurm-wlm",
}
ACCOUNTING_PROGRAMS = {
    "slurmdbd": "slurmdbd",
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
}
# SLURM opens the library by this path, without a version; Debian has that link in libpmix-dev.
PMIX = "pmix2/lib/libpmix.so"
GPUS_PER_NODE = 2
CGROUPS = Path("/sys/fs/cgroup/memory")
BOOT_LIMIT_S = 60.0
POLL_S = 0.05
# The names of SLURM's sockets go on in this folder's, and Linux allows 107 characters.
FOLDER_LENGTH_LIMIT = 60
TEMPORARY = "temporary"  # an empty file that marks a folder to be removed after use


class ClusterError(RuntimeError):
    """Says that a daemon or a command of SLURM failed, with what it printed."""


def available(*, accounting: bool = True, mpi: bool = False, cgroups: bool = False) -> str:
    """Say what is missing for a cluster and how to get it; empty if nothing is.

    `mpi` asks for what `srun --mpi=pmix` needs, too, and `cgroups` for what a limit of memory by the kernel
    needs.
    """
    if sys.platform != "linux":
        return f"SLURM needs Linux, and this is {sys.platform}."
    wanted = PROGRAMS | (ACCOUNTING_PROGRAMS if accounting else {})
    missing = {program: package for program, package in wanted.items() if _which(program) is None}
    if accounting and not _has_library("slurm*/accounting_storage_mysql.so"):
        missing["accounting_storage_mysql.so"] = "slurm-wlm-mysql-plugin"
    if mpi and not _has_library(PMIX):
        missing["libpmix.so"] = "libpmix-dev"
    if missing:
        return f"{', '.join(missing)} not found: apt-get install {' '.join(sorted(set(missing.values())))}"
    if os.geteuid() != 0:
        return f"SLURM's daemons must be root to run jobs, and this is user {os.geteuid()}: use a container."
    if cgroups and not os.access(CGROUPS / "memory.limit_in_bytes", os.W_OK):
        return f"{CGROUPS} can't be written: SLURM 22.05 needs version 1 of cgroups where systemd is absent."
    return ""


class Cluster:
    """A SLURM of `nodes` virtual nodes with `cpus` CPUs and two fake GPUs each, called n1, n2 and so on.

    Partitions, all over the same nodes: `main` (the default; its jobs are preempted, with `grace_time_s` of
    warning), `urgent` (preempts those) and `short` (one minute per job at most).

    With `accounting`, slurmdbd and a private MariaDB keep the history; without, `sacct` says "disabled".
    A finished job stays in the controller's memory for `min_job_age_s`: an hour, longer than any test,
    because without accounting nothing else knows how it ended. Give a few seconds to try forgotten jobs.

    A job that takes more memory than it asked for is killed within about a second, and FAILED. With `cgroups`
    the kernel does it, at once, and its state is OUT_OF_MEMORY. Run one such cluster at a time: nodes of the
    same name share a cgroup.

    `extra` are further lines of slurm.conf, which come last and win. `folder` must be new or empty; left out,
    it is made in /tmp and removed by `stop`. The logs are in `log`.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        accounting: bool = True,
        nodes: int = 4,
        cpus: int = 4,
        memory_mb: int = 8000,
        max_array_size: int = 1001,
        min_job_age_s: int = 3600,
        grace_time_s: int = 30,
        slurmd_timeout_s: int = 10,
        cgroups: bool = False,
        extra: Iterable[str] = (),
    ) -> None:
        if missing := available(accounting=accounting, cgroups=cgroups):
            raise ClusterError(missing)
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="slurm-"))
            (folder / TEMPORARY).touch()
        folder = folder.resolve()
        if len(str(folder)) > FOLDER_LENGTH_LIMIT:
            raise ClusterError(
                f"{folder} has {len(str(folder))} characters; SLURM's sockets need a folder of at most "
                f"{FOLDER_LENGTH_LIMIT}. Leave it out to have one in /tmp."
            )
        folder.mkdir(parents=True, exist_ok=True)
        if any(path.name != TEMPORARY for path in folder.iterdir()):
            raise ClusterError(f"{folder} is not empty; a cluster needs a new folder, or none.")
        folder.chmod(0o755)
        self.folder = folder
        self.accounting = accounting
        self.name = "counted" if accounting else "plain"
        self.node_names = [f"n{number}" for number in range(1, nodes + 1)]
        self.cpus = cpus
        self.memory_mb = memory_mb
        self.max_array_size = max_array_size
        self.min_job_age_s = min_job_age_s
        self.grace_time_s = grace_time_s
        self.slurmd_timeout_s = slurmd_timeout_s
        self.cgroups = cgroups
        self.extra = tuple(extra)
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._password = secrets.token_hex(16)

    @property
    def environment(self) -> dict[str, str]:
        """Give the variables that point SLURM's commands, and programs that call them, here."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def run(self, *command: str, timeout_s: float = 120.0) -> str:
        """Run a command in the cluster's environment and return what it printed.

        Raises ClusterError, with its standard error, if it fails.
        """
        done = subprocess.run(
            command,
            env=self._full_environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode != 0:
            raise ClusterError(
                f"{' '.join(command)} ended with {done.returncode}: {(done.stderr + done.stdout).strip()}"
            )
        return done.stdout

    def start(self) -> None:
        """Boot all daemons and wait until every node is idle; after a failure nothing is left running."""
        try:
            self._write_files()
            self._launch_munge()
            if self.accounting:
                self._launch_mariadb()
                self.start_database()
                self.run("sacctmgr", "-i", "add", "cluster", self.name)
                self.run("sacctmgr", "-i", "add", "account", "research", "Description=research")
                self.run("sacctmgr", "-i", "add", "user", "root", "Account=research")
            self._launch("slurmctld", "slurmctld", "-D", "-f", str(self.folder / "slurm.conf"))
            for node in self.node_names:
                self._launch_node(node)
            self._wait("the nodes did not become idle", self._all_are_idle, "slurmctld", *self.node_names)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every daemon, step and job; remove the folder if it was made for this cluster.

        A cluster starts once; a stopped one can be stopped again.
        """
        if self.folder.exists():
            stop(self.folder)
        for daemon in self._daemons.values():
            daemon.wait()
        self._daemons.clear()

    def stop_controller(self) -> None:
        """End slurmctld, which saves its state first; steps that run go on."""
        self._end("slurmctld")

    def start_controller(self) -> None:
        """Boot slurmctld again, with the jobs it knew, and wait until it answers.

        Its nodes are "unknown" for five seconds more, and nothing starts before.
        """
        self._launch("slurmctld", "slurmctld", "-D", "-f", str(self.folder / "slurm.conf"))
        self._wait("slurmctld did not answer", self._controller_answers, "slurmctld")

    def stop_database(self) -> None:
        """End slurmdbd, but not MariaDB; slurmctld keeps what it has to say for later."""
        self._end("slurmdbd")

    def start_database(self) -> None:
        """Boot slurmdbd and wait until it answers."""
        self._launch("slurmdbd", "slurmdbd", "-D")
        port = self._ports["slurmdbd"]
        self._wait("slurmdbd did not answer", lambda: _is_listening(port), "slurmdbd")

    def kill_node(self, name: str, *, is_noticed: bool = False) -> None:
        """Kill a node's slurmd, steps and jobs at once.

        slurmctld sees the node dead, and its jobs failed, about 15 s after `slurmd_timeout_s`; with
        `is_noticed` it is told now. Jobs are requeued unless they were submitted with `--no-requeue`.
        """
        self._check_node(name)
        _kill(_node_processes(self.folder, name))
        if name in self._daemons:
            self._daemons.pop(name).wait()
        if is_noticed:
            self.run("scontrol", "update", f"nodename={name}", "state=down", "reason=killed by a test")

    def start_node(self, name: str) -> None:
        """Boot a node that was killed, and wait until it takes jobs."""
        self._check_node(name)
        # For ten seconds slurmctld goes on telling a dead node to end its jobs. Booted within them, the node
        # would end the same job, requeued, in its second life.
        self._wait("slurmctld did not give the dead node up", self._sends_nothing, "slurmctld")
        self._launch_node(name)

        def is_up() -> bool:
            state = self._node_states().get(name, "")
            if "down" in state or "drain" in state:
                try:
                    self.run("scontrol", "update", f"nodename={name}", "state=resume")
                except ClusterError:
                    pass  # "Invalid node state": it has come back by itself since the question
            return state in {"idle", "mixed", "allocated", "completing"}

        self._wait(f"{name} did not come up", is_up, "slurmctld", name)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- files

    def _write_files(self) -> None:
        for name in ("pids", "log", "state", "dev", "spool", "tmp"):
            (self.folder / name).mkdir()
        names = ["slurmctld", *self.node_names, "slurmdbd", "mariadb"]
        self._ports = dict(zip(names, _free_ports(len(names)), strict=True))
        gres = []
        for node in self.node_names:
            (self.folder / "spool" / node).mkdir()
            (self.folder / "tmp" / node).mkdir()
            # Only with device files does SLURM set CUDA_VISIBLE_DEVICES: null devices will do.
            for gpu in range(GPUS_PER_NODE):
                os.mknod(self.folder / "dev" / f"{node}gpu{gpu}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
            devices = f"{self.folder}/dev/{node}gpu[0-{GPUS_PER_NODE - 1}]"
            gres.append(f"NodeName={node} Name=gpu File={devices}\n")
        (self.folder / "gres.conf").write_text("".join(gres))
        (self.folder / "slurm.conf").write_text(self._slurm_conf())
        if self.cgroups:
            lines = ("CgroupPlugin=cgroup/v1", f"CgroupMountpoint={CGROUPS.parent}", "ConstrainRAMSpace=yes")
            (self.folder / "cgroup.conf").write_text("\n".join(lines) + "\n")
        _write_secret(self.folder / "munge.key", secrets.token_bytes(128))
        if self.accounting:
            _write_secret(self.folder / "slurmdbd.conf", self._slurmdbd_conf().encode())

    def _slurm_conf(self) -> str:
        host = socket.gethostname().split(".")[0]
        lines = [
            f"ClusterName={self.name}",
            f"SlurmctldHost={host}(127.0.0.1)",
            f"SlurmctldPort={self._ports['slurmctld']}",
            "SlurmUser=root",
            "SlurmdUser=root",
            "AuthType=auth/munge",
            f"AuthInfo=socket={self.folder}/munge.socket",
            f"StateSaveLocation={self.folder}/state",
            f"SlurmdSpoolDir={self.folder}/spool/%n",
            f"TmpFS={self.folder}/tmp/%n",  # PMIx keeps its sockets here, so nodes can't share it
            f"SlurmctldPidFile={self.folder}/pids/slurmctld.own",
            f"SlurmdPidFile={self.folder}/pids/%n.own",
            f"SlurmctldLogFile={self.folder}/log/slurmctld",
            f"SlurmdLogFile={self.folder}/log/%n",
            f"MailProg={_which('true')}",
            "ProctrackType=proctrack/linuxproc",
            f"TaskPlugin=task/{'cgroup' if self.cgroups else 'none'}",
            "JobAcctGatherType=jobacct_gather/linux",
            "JobAcctGatherFrequency=task=1",
            "" if self.cgroups else "JobAcctGatherParams=OverMemoryKill",
            "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_Core_Memory",
            "GresTypes=gpu",
            "SlurmdParameters=config_overrides",
            "SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=10000",
            "SlurmctldParameters=preempt_send_user_signal",
            "PreemptType=preempt/partition_prio",
            "PreemptMode=REQUEUE",
            "ReturnToService=2",
            "JobRequeue=1",
            # Where the library is missing, pmix as the default would make every srun fail.
            f"MpiDefault={'pmix' if _has_library(PMIX) else 'none'}",
            f"MaxArraySize={self.max_array_size}",
            f"MaxJobCount={max(10_000, 2 * self.max_array_size)}",
            f"MinJobAge={self.min_job_age_s}",
            "KillWait=5",
            f"SlurmdTimeout={self.slurmd_timeout_s}",
            "MessageTimeout=10",
            "UnkillableStepTimeout=60",
            # Without it a job that names no memory takes all of its node's.
            f"DefMemPerCPU={self.memory_mb // self.cpus}",
        ]
        if self.accounting:
            lines += [
                "AccountingStorageType=accounting_storage/slurmdbd",
                "AccountingStorageHost=127.0.0.1",
                f"AccountingStoragePort={self._ports['slurmdbd']}",
                f"AccountingStoragePass={self.folder}/munge.socket",  # AuthInfo is not for this connection
                "AccountingStorageTRES=gres/gpu",
            ]
        lines += [
            f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={self._ports[node]} "
            f"CPUs={self.cpus} RealMemory={self.memory_mb} Gres=gpu:{GPUS_PER_NODE}"
            for node in self.node_names
        ]
        lines += [
            "PartitionName=main Nodes=ALL Default=YES MaxTime=60 PriorityTier=1 "
            f"GraceTime={self.grace_time_s}",
            "PartitionName=urgent Nodes=ALL MaxTime=60 PriorityTier=10 PreemptMode=OFF",
            "PartitionName=short Nodes=ALL MaxTime=1 PriorityTier=1 PreemptMode=OFF",
            *self.extra,
        ]
        return "\n".join(lines) + "\n"

    def _slurmdbd_conf(self) -> str:
        lines = [
            "AuthType=auth/munge",
            f"AuthInfo=socket={self.folder}/munge.socket",
            "DbdHost=localhost",
            "DbdAddr=127.0.0.1",
            f"DbdPort={self._ports['slurmdbd']}",
            "SlurmUser=root",
            f"LogFile={self.folder}/log/slurmdbd",
            f"PidFile={self.folder}/pids/slurmdbd.own",
            "StorageType=accounting_storage/mysql",
            "StorageHost=127.0.0.1",
            f"StoragePort={self._ports['mariadb']}",
            "StorageUser=slurm",
            f"StoragePass={self._password}",
            "StorageLoc=slurm",
        ]
        return "\n".join(lines) + "\n"

    # --- daemons

    def _launch_munge(self) -> None:
        # --force: a folder of pytest is closed to other users, which munged takes for a mistake.
        self._launch(
            "munged",
            *("munged", "--foreground", "--force", "--num-threads=2"),
            f"--socket={self.folder}/munge.socket",
            f"--key-file={self.folder}/munge.key",
            f"--pid-file={self.folder}/pids/munged.own",
            f"--log-file={self.folder}/log/munged",
            f"--seed-file={self.folder}/munge.seed",
        )
        self._wait("munged made no socket", (self.folder / "munge.socket").exists, "munged")

    def _launch_mariadb(self) -> None:
        # The database lives as long as a test: nothing need reach the disk.
        common = (
            "--no-defaults",
            "--user=root",
            f"--datadir={self.folder}/mariadb",
            f"--tmpdir={self.folder}/mariadb-tmp",  # at its start it removes others' tables from /tmp
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=16M",
            "--innodb-flush-method=nosync",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-lock-wait-timeout=900",
        )
        (self.folder / "mariadb").mkdir(mode=0o700)
        (self.folder / "mariadb-tmp").mkdir(mode=0o700)
        self.run(
            _program("mariadb-install-db"),
            *common,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
        )
        accounts = self.folder / "mariadb.sql"
        user = "'slurm'@'127.0.0.1'"
        sql = (
            "CREATE DATABASE slurm;\n"
            f"CREATE USER {user} IDENTIFIED BY '{self._password}';\n"
            f"GRANT ALL ON slurm.* TO {user};\n"
        )
        _write_secret(accounts, sql.encode())
        self._launch(
            "mariadb",
            "mariadbd",
            *common,
            f"--init-file={accounts}",
            "--bind-address=127.0.0.1",
            f"--port={self._ports['mariadb']}",
            f"--socket={self.folder}/mariadb.socket",
            f"--pid-file={self.folder}/pids/mariadb.own",
            "--skip-name-resolve",
            "--skip-log-bin",
        )
        port = self._ports["mariadb"]
        self._wait("MariaDB did not answer", lambda: _is_listening(port), "mariadb")

    def _launch_node(self, name: str) -> None:
        # PMIx goes by host names, and these nodes share one: without this Open MPI 5 finds no neighbours, and
        # its third rank on a node fails in MPI_Init. slurmstepd, PMIx's server, inherits it.
        conf = str(self.folder / "slurm.conf")
        self._launch(name, "slurmd", "-D", "-N", name, "-f", conf, variables={"PMIX_HOSTNAME": name})

    def _launch(
        self, name: str, program: str, *arguments: str, variables: Mapping[str, str] | None = None
    ) -> None:
        """Start a daemon in the foreground of a session of its own, and write its pid down."""
        if (running := _read_pid(self.folder / "pids" / name)) is not None:
            raise ClusterError(f"{name} runs already, as process {running.pid}.")
        with (self.folder / "log" / f"{name}.out").open("ab") as log:
            daemon = subprocess.Popen(
                [_program(program), *arguments],
                env=self._full_environment() | dict(variables or {}),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._daemons[name] = daemon
        _write_pid(self.folder / "pids" / name, psutil.Process(daemon.pid))

    def _end(self, name: str) -> None:
        """End a daemon, politely at first."""
        process = _read_pid(self.folder / "pids" / name)
        if process is not None:
            process.send_signal(signal.SIGTERM)
            _, alive = psutil.wait_procs([process], timeout=20)
            _kill(alive)
        if name in self._daemons:
            self._daemons.pop(name).wait()

    # --- waiting

    def _wait(self, complaint: str, is_ready: Callable[[], bool], *daemons: str) -> None:
        """Poll until ready; raise with the ends of the daemons' logs if one of them ends, or time is up."""
        limit = time.monotonic() + BOOT_LIMIT_S
        while not is_ready():
            dead = [
                name for name in daemons if name in self._daemons and self._daemons[name].poll() is not None
            ]
            if dead or time.monotonic() > limit:
                logs = "\n".join(self._log_end(name) for name in dead or daemons)
                raise ClusterError(f"{complaint}{'; ' + dead[0] + ' has ended' if dead else ''}:\n{logs}")
            time.sleep(POLL_S)

    def _log_end(self, name: str) -> str:
        lines: list[str] = []
        for path in (self.folder / "log" / f"{name}.out", self.folder / "log" / name):
            if path.exists():
                lines += path.read_text(errors="replace").splitlines()[-10:]
        return "\n".join(f"{name}: {line}" for line in lines)

    def _controller_answers(self) -> bool:
        try:
            return " is UP" in self.run("scontrol", "ping")
        except ClusterError:
            return False

    def _node_states(self) -> dict[str, str]:
        try:
            lines = self.run("sinfo", "-h", "-N", "-p", "main", "-o", "%N %T").splitlines()
        except ClusterError:
            return {}
        return dict(line.split(maxsplit=1) for line in lines)

    def _all_are_idle(self) -> bool:
        # Asking before the port is open costs the commands of SLURM seconds of trying again.
        if not _is_listening(self._ports["slurmctld"]):
            return False
        states = self._node_states()
        return [states.get(node) for node in self.node_names] == ["idle"] * len(self.node_names)

    def _sends_nothing(self) -> bool:
        counts = re.findall(r"^Agent (?:count|queue size):\s*(\d+)", self.run("sdiag"), re.MULTILINE)
        return all(int(count) == 0 for count in counts)

    def _check_node(self, name: str) -> None:
        if name not in self.node_names:
            raise ClusterError(f"no node is called {name!r}; there are {', '.join(self.node_names)}")

    def _full_environment(self) -> dict[str, str]:
        """Give this process's environment with this cluster in it, and no job of another."""
        foreign = (
            "SLURM_",
            "SLURMD_",
            "SBATCH_",
            "SRUN_",
            "SALLOC_",
            "SCANCEL_",
            "SINFO_",
            "SQUEUE_",
            "SACCT_",
        )
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
        return inherited | self.environment


def stop(folder: Path) -> None:
    """End all that belongs to the cluster of this folder, whoever started it; remove a temporary folder."""
    folder = folder.resolve()
    if not (folder / "pids").is_dir() and not (folder / TEMPORARY).exists():
        raise ClusterError(f"{folder} is not the folder of a cluster.")
    _kill(_node_processes(folder))
    daemons = [process for path in _pid_files(folder) if (process := _read_pid(path)) is not None]
    _kill([*daemons, *(child for daemon in daemons for child in daemon.children(recursive=True))])
    # A job that was being started while the first look was taken.
    _kill(_node_processes(folder))
    for path in _pid_files(folder):
        path.unlink()
    if (folder / "cgroup.conf").exists():
        for path in folder.glob("spool/*"):
            _remove_cgroup(CGROUPS / f"slurm_{path.name}")
    if (folder / TEMPORARY).exists():
        shutil.rmtree(folder)


# --- processes


def _pid_files(folder: Path) -> list[Path]:
    """List the files that `_write_pid` wrote; those ending in .own are the daemons'."""
    pids = folder / "pids"
    return [path for path in pids.iterdir() if path.suffix != ".own"] if pids.is_dir() else []


def _write_pid(path: Path, process: psutil.Process) -> None:
    path.write_text(f"{process.pid} {process.create_time()}\n")


def _read_pid(path: Path) -> psutil.Process | None:
    """Give the living process a file names: its start tells it from a later one of that number."""
    try:
        pid, created = path.read_text().split()
        process = psutil.Process(int(pid))
        is_same = (
            abs(process.create_time() - float(created)) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
        )
    except (FileNotFoundError, psutil.NoSuchProcess):
        return None
    return process if is_same else None


def _node_processes(folder: Path, name: str = "") -> list[psutil.Process]:
    """Find slurmd, slurmstepd and the jobs of a node, or of all: those that could report a death first.

    slurmstepd is no child of slurmd, and it overwrites its environment; but it listens at a socket in its
    node's spool. What a job left behind, no child of slurmstepd any more, has SLURM_CONF and SLURMD_NODENAME.
    """
    spool = f"{folder}/spool/{name}/" if name else f"{folder}/spool/"
    conf = f"{folder}/slurm.conf"
    names = [name] if name else [path.name for path in folder.glob("spool/*")]
    slurmds = [process for node in names if (process := _read_pid(folder / "pids" / node)) is not None]
    steps: list[psutil.Process] = []
    jobs: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if process.name() == "slurmstepd":
                if any(str(at.laddr).startswith(spool) for at in process.net_connections("unix")):
                    steps.append(process)
                    jobs += process.children(recursive=True)
            else:
                variables = process.environ()
                node = variables.get("SLURMD_NODENAME")
                if variables.get("SLURM_CONF") == conf and node in names and process.pid != os.getpid():
                    jobs.append(process)
        except psutil.Error:
            continue
    return list(dict.fromkeys([*slurmds, *steps, *jobs]))


def _kill(processes: Iterable[psutil.Process]) -> None:
    """Kill processes in this order and wait until they are gone."""
    processes = list(processes)
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            pass
    limit = time.monotonic() + 10
    while any(_is_alive(process) for process in processes):
        if time.monotonic() > limit:
            raise ClusterError(f"processes survived SIGKILL: {processes}")
        time.sleep(0.01)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _remove_cgroup(path: Path) -> None:
    """Remove a cgroup and those in it, whose files only the kernel removes."""
    for folder, _, _ in os.walk(path, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:
            pass  # a process is still ending, or another cluster uses it; an empty cgroup does no harm


# --- the machine


def _which(program: str) -> str | None:
    """Find a program, also where Debian keeps daemons, which a user's PATH may lack."""
    return shutil.which(program, path=os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin")


def _program(name: str) -> str:
    found = _which(name)
    if found is None:
        raise ClusterError(f"{name} not found: {available()}")
    return found


def _has_library(pattern: str) -> bool:
    """Look for a file under the folder of libraries of Debian's architecture."""
    return any(Path("/usr/lib").glob(f"*/{pattern}"))


def _free_ports(count: int) -> list[int]:
    """Find ports that nobody uses, all different."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _is_listening(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return True
    except OSError:
        return False


def _write_secret(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


# --- the command


def _start_command(folder: Path | None, accounting: bool) -> int:
    """Boot a cluster and keep it until Ctrl-C or SIGTERM."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    begun = time.monotonic()
    try:
        with Cluster(folder, accounting=accounting) as cluster:
            print(f"# {len(cluster.node_names)} nodes in {time.monotonic() - begun:.1f} s; Ctrl-C ends them")
            for key, value in cluster.environment.items():
                print(f"export {key}={value}", flush=True)
            while True:
                signal.pause()
    except KeyboardInterrupt:
        return 0


def main() -> int:
    """Start or stop a cluster, as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.slurm.cluster", description="A real SLURM, here.")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("start", help="boot a cluster and keep it until Ctrl-C")
    start.add_argument("--folder", type=Path, help="new or empty; default: one in /tmp, removed afterwards")
    start.add_argument("--no-accounting", action="store_true", help='no database: sacct says "disabled"')
    commands.add_parser("stop", help="end a cluster by its folder").add_argument("folder", type=Path)
    options = parser.parse_args()
    try:
        if options.command == "start":
            return _start_command(options.folder, not options.no_accounting)
        stop(options.folder)
    except ClusterError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
