"""Printing where letters are lacking."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from hpc.jobs.node.streams import print_anything


@pytest.mark.parametrize(
    ("encoding", "text", "printed"),
    [
        ("latin-1", "━━ × caf\u00e9 ▁█ … 🙂", "== \u00d7 caf\u00e9 _# ... \\U0001f642"),
        ("ascii", "2 × é", "2 x \\xe9"),
        ("utf-8", "━ é 🙂", "━ é 🙂"),
        ("utf-8", "half a pair: \ud83d", "half a pair: \\ud83d"),
    ],
)
def test_a_letter_that_a_stream_lacks_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, encoding: str, text: str, printed: str
) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding=encoding))
    print_anything()
    print(text, end="", flush=True)
    assert out.getvalue() == printed.encode(encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_path_that_is_no_utf_8_is_printed_as_it_is(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(out, encoding=encoding))
    print_anything()
    print(Path("runs/caf\udce9"), file=sys.stderr, flush=True)
    assert out.getvalue() == b"runs/caf\xe9\n"
