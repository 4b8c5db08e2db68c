"""One suite for each contract of the house, run over all that implement it."""
