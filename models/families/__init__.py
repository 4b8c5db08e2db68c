"""The models that have a name of their own, one file per family."""
