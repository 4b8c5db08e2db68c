"""What a person sees of runs, trials and jobs."""
