"""Pydantic's errors are told in our words, at the line of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hpc.sweeps import read
from hpc.sweeps.validation import InvalidEntry, Wording, format_errors


class Options(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    rate: Annotated[float, Field(gt=0)] = 1.0
    count: Annotated[int, Field(ge=2)] = 2
    mode: Literal["min", "max"] = "min"
    names: list[str] = []
    group: dict[str, int] = {}
    on: bool = True
    secret: str = ""


def explain(entry: InvalidEntry) -> str | None:
    return f"a secret is not {entry.expected}." if entry.key[-1] == "secret" else None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("rate: 0.0", "rate: 0.0 is not a number above 0.0."),
        ("rate: [1]", "rate: [1] is not a number."),
        ("count: 1", "count: 1 is not a number of at least 2."),
        ("count: two", "count: 'two' is not a whole number."),
        ("mode: most", "mode: 'most' is not 'min' or 'max'."),
        ("names: 3", "names: 3 is not a list, [one, two]."),
        ("names: [3]", "names[0]: 3 is not a word."),
        ("group: 3", "group: 3 is not a group of `name: value` lines."),
        ("on: 3", "on: 3 is not true or false."),
        ("secret: 3", "secret: a secret is not a word."),
        ("rat: 3", "rat: 3 is not Extra inputs are not permitted."),
    ],
)
def test_an_error_names_file_line_entry_value_and_what_would_be_right(
    tmp_path: Path, line: str, message: str
) -> None:
    path = tmp_path / "options.yaml"
    path.write_text(f"# a comment\n{line}\n")
    document = read(path)
    with pytest.raises(ValidationError) as caught:
        Options.model_validate(document.entries)
    wording = Wording(lambda key, kind: key, explain, {"list_type": "a list, [one, two]"})
    assert format_errors(caught.value, document, wording) == [f"{path}, line 2: {message}"]
