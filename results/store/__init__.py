"""The folder of a run: its records, and what they say."""
