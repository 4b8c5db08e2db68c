"""Statistics of results: means and their intervals, verdicts, effects, cost."""
