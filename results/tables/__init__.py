"""Tables of runs, as pandas DataFrames."""
