"""The datasets that have a name of their own, and the readers of files of data."""
