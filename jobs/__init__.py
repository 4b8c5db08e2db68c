"""What a job does: the worker, the world of ranks, training one trial.

``jobs.worker.Worker`` is what submitit runs on every rank. Read it first, then ``training``.
"""
