"""Questions about a run, answered: which point is best, what matters, how two runs differ."""
