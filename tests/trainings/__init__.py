"""Trainings as people have them, and their sweep files. Used by tests, and to be tried by hand."""
