"""What a job does: the worker, the world of ranks, training one trial.

``jobs.worker.Worker`` is what submitit runs on every rank. Read it first, then ``training``.
"""

if __name__ != "hpc.jobs":  # where the checkout's own folder is on the path
    raise ImportError("jobs is a part of hpc here: import hpc.jobs")
