"""The logs of a job, and why its ranks ended."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import IO

OUT_OF_MEMORY = re.compile(r"oom[-_ ]kill|out of memory|exceeded (?:job |step )?memory limit", re.IGNORECASE)

MAX_CHARACTERS = 1_000
"""Characters of a log's line in which an error is looked for: users' programs print lines of any length."""


class JobLogs:
    """The files that a job and its ranks print into.

    Args:
        folder: of the launch.
        job_id: whose they are.
        is_labelled: whether each line of the ranks' log begins with the number of its rank.
    """

    def __init__(self, folder: Path, job_id: str, *, is_labelled: bool) -> None:
        self._folder = folder
        self._job_id = job_id
        self._is_labelled = is_labelled
        self._sizes: dict[Path, int] = {}

    def begin_step(self) -> None:
        """Take what is written from now on for new."""
        self._sizes = {path: path.stat().st_size for path in self._paths()}

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self._job_id}_*log.out"))

    def new(self) -> str:
        """The text that was written into the job's logs, its own included, since the step began."""
        return "\n".join(self._new_in(path) for path in self._paths())

    def _new_in(self, path: Path) -> str:
        with path.open("rb") as file:
            file.seek(self._sizes.get(path, 0))
            return file.read().decode(errors="replace")

    def tail(self, lines: int = 25) -> str:
        """The new ends of the ranks' output: of those that tell an error, if some do."""
        path = self._folder / log_of_ranks(self._job_id)
        text = self._new_in(path) if path.exists() else ""
        lines_by_rank: dict[int, list[str]] = {}
        for line in text.splitlines():
            label = re.match(r" *(\d+): ?", line) if self._is_labelled else None
            lines_by_rank.setdefault(int(label[1]) if label else 0, []).append(
                line[label.end() if label else 0 :]
            )
        texts = {rank: "\n".join(lines_by_rank[rank][-lines:]) for rank in sorted(lines_by_rank)}
        telling = {rank: text for rank, text in texts.items() if "Error" in text} or texts
        return "\n".join(f"rank {rank}:\n{text}" for rank, text in list(telling.items())[:2])

    def why(self, starter: str, code: int, output: str) -> str:
        """A sentence on why the ranks ended, then the ends of the logs.

        Args:
            starter: the command that has started them.
            code: its exit code.
            output: of it, on stderr.
        """
        tail = self.tail()
        error = last_error(tail)
        lines = [line for line in output.splitlines() if "task" in line or "rror:" in line]
        why = error or (lines[0] if lines else f"{starter} ended with exit code {code}")
        return "\n".join([why, *lines[:10], tail])


def log_of_ranks(job_id: str) -> str:
    """The name of the file that all ranks of a job print into."""
    return f"{job_id}_ranks_log.out"


def tee(stream: IO[str], lines: list[str]) -> None:
    """Print the lines of a stream to stderr as they come, and keep them in a list."""
    with stream:
        for line in stream:
            sys.stderr.write(line)
            sys.stderr.flush()
            lines.append(line)


def last_error(text: str) -> str:
    """The last line of a log that names an error, without its traceback."""
    lines = [
        line
        for line in text.splitlines()
        if re.match(r"[\w.]*(?:Error|Exception)\b.*:", line[:MAX_CHARACTERS])
    ]
    return lines[-1] if lines else ""


def complaint(text: str) -> str:
    """The complaint of a log or of what has started the ranks, in one line."""
    lines = [line for line in text.splitlines() if "rror:" in line]
    return last_error(text) or (lines[0] if lines else "no reason was given")
