"""Jobs that end before their work is done: whether they come back."""

from __future__ import annotations

from collections.abc import Mapping

from hpc.doctor.base import Finding, note, ok
from hpc.doctor.parsing import parse_seconds
from hpc.profile import Profile


def check_preemption(profile: Profile, config: Mapping[str, str], partition: Mapping[str, str]) -> Finding:
    """Check what happens to jobs that make room for others.

    Args:
        profile: the profile of the jobs.
        config: SLURM's configuration.
        partition: the entries of the partition that they go to.
    """
    kind = config.get("PreemptType", "preempt/none").rpartition("/")[2]
    mode = config.get("PreemptMode", "OFF")
    if kind == "partition_prio":
        mode = partition.get("PreemptMode", mode)
    if kind in ("none", "(null)") or mode.upper() == "OFF":
        return ok("preemption", f"jobs are not preempted (PreemptType={kind}, PreemptMode={mode})")
    lost = f"up to {profile.checkpoint_min:g} min of each trial's work are lost (checkpoint_min)"
    if "SUSPEND" in mode.upper():
        return ok("preemption", "preempted jobs are suspended and go on later")
    if "CANCEL" in mode.upper():
        remedy = "After it `hpc resume RUN` goes on; ask the administrators for PreemptMode=REQUEUE."
        return note("preemption", f"preempted jobs are cancelled, and {lost}", remedy)
    if not profile.requeues:
        remedy = "Write requeues: 20; else `hpc resume RUN` goes on."
        return note("preemption", "preempted jobs end, since the profile says requeues: 0", remedy)
    wanted = []
    if "preempt_send_user_signal" not in config.get("SlurmctldParameters", ""):
        wanted.append("SlurmctldParameters=preempt_send_user_signal")
    if kind == "partition_prio" and not parse_seconds(partition.get("GraceTime", "0")):
        wanted.append("GraceTime=120 on the partition")
    if wanted:
        said = f"preempted jobs are requeued without time for a checkpoint: {lost}"
        remedy = f"Lower checkpoint_min, or ask the administrators for {' and '.join(wanted)}."
        return note("preemption", said, remedy)
    grace = f"{partition['GraceTime']} s" if kind == "partition_prio" else "its QOS's GraceTime"
    said = f"a preempted job has {grace} to write a checkpoint, and is requeued"
    return ok("preemption", said)


def check_requeueing(profile: Profile, config: Mapping[str, str]) -> Finding:
    """Check whether jobs come back into the queue."""
    if not profile.requeues:
        said = "requeues is 0: a job that comes to its time limit, or whose node fails, does not come back"
        return note("requeue", said, "Write requeues: 20; else `hpc resume RUN` goes on.")
    if config.get("JobRequeue") == "0":
        said = "JobRequeue is 0: jobs come back only because hpc asks for it by --requeue"
        return note("requeue", said, "Nothing need change as long as requeues is above 0.")
    wait = config.get("KillWait", "30 sec")
    said = f"jobs come back up to {profile.requeues} times; at its end a job has {wait} to stop (KillWait)"
    return ok("requeue", said)
