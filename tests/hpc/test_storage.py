"""The address of a database: taken where it holds no secret, refused without showing one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hpc.profile import BUILTIN, Named, Profile, available, with_storage
from hpc.results import Records, Run
from hpc.storage import storage_url
from hpc.submitting import profile_of
from hpc.sweeps import SweepError
from hpc.sweeps.document import write
from tests.hpc.shown import make


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("optuna.db", "--storage: that is no address of a database"),
        ("Zq7Kx", "--storage: that is no address of a database"),
        ("sqlite:///study.db", "leave it out: the journal in the folder of the run is made for that"),
        ("postgresql://me:Zq7Kx@host/db", "and everybody could read it in the folder of the run"),
        (
            "postgres://me@host/db",
            "SQLAlchemy knows no database postgres; postgres:// is written postgresql+",
        ),
        ("mysql+nothing://me@host/db", "SQLAlchemy knows no database mysql+nothing; write DIALECT://"),
    ],
)
def test_a_storage_that_can_not_be_is_refused(url: str, said: str) -> None:
    with pytest.raises(SweepError) as error:
        with_storage(Named("local", BUILTIN["local"]), url)
    assert said in str(error.value)
    assert "Zq7Kx" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me@host/optuna",
        "postgresql://db-1.cluster.example:5432/optuna",
        "postgresql+psycopg://me%40realm@[::1]:5432/optuna?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql+psycopg:///optuna?service=sweeps",
        "postgresql+psycopg:///optuna?host=/var/run/postgresql",
        "mysql+pymysql://me@host/optuna?charset=utf8mb4&read_default_file=~/.my.cnf",
    ],
)
def test_an_address_without_a_secret_is_taken_as_it_stands(url: str) -> None:
    assert storage_url(url) == url


PLACES = (
    "postgresql+psycopg://me:{}@host/optuna",
    "postgresql+psycopg://:{}@host/optuna",
    "mysql+pymysql://me@realm:{}@host:3306/optuna",
    "postgresql+psycopg://me@host/optuna?password={}",
    "postgresql+psycopg://me@host/optuna?passwd={}",
    "postgresql+psycopg://me@host/optuna?sslmode=require&sslpassword={}",
    "postgresql+psycopg://me@host/optuna?options=-cx%3D{}",
    "mssql+pyodbc:///?odbc_connect=PWD%3D{}",
    "postgresql+psycopg://me@host/optuna#{}",
    "me:{}@host/optuna",
)
"""Where people write passwords into addresses."""


@pytest.mark.slow
@given(st.sampled_from(PLACES), st.text(max_size=12), st.text(max_size=12))
@example(PLACES[0], "se/cret", "")
@example(PLACES[0], "12/optuna?sslmode=", "")
@example(PLACES[0], "se#cret", "")
@example(PLACES[0], "se?cret", "")
@example(PLACES[0], "%3a", "@")
@settings(max_examples=300, deadline=None)
def test_a_password_is_refused_wherever_it_stands_and_not_shown(place: str, before: str, after: str) -> None:
    url = place.format(before + "Zq7Kx" + after)
    with pytest.raises(ValueError, match="database") as refused:
        storage_url(url)
    assert "zq7kx" not in str(refused.value).lower()
    assert "me:" not in str(refused.value)
    with pytest.raises(SweepError) as of_command:
        with_storage(Named("local", BUILTIN["local"]), url)
    assert str(of_command.value) == f"--storage: {refused.value}."
    with pytest.raises(ValidationError) as of_file:
        Profile.model_validate({"cluster": "local", "storage": url})
    assert str(of_file.value.errors()[0]["ctx"]["error"]) == str(refused.value)


@pytest.mark.parametrize("storage", ["postgresql://me:Zq7Kx@h/db", {"password": "Zq7Kx"}, ["Zq7Kx"]])
def test_no_message_of_a_file_of_profiles_shows_what_may_be_a_password(
    tmp_path: Path, storage: object
) -> None:
    (tmp_path / "p.yaml").write_text(write({"mine": {"cluster": "local", "storage": storage}}))
    with pytest.raises(SweepError) as refused:
        available(given=tmp_path / "p.yaml")
    assert "p.yaml, line 3: mine.storage: " in str(refused.value)
    assert "Zq7Kx" not in str(refused.value)


def test_a_run_whose_profile_had_a_password_goes_on_with_another(tmp_path: Path) -> None:
    make(tmp_path / "r")
    profile = {"cluster": "local", "storage": "postgresql://h/db?password=Zq7Kx"}
    Records(tmp_path / "r" / "records" / "run.jsonl").append("launched", profile=profile, on="mine")
    run = Run(tmp_path / "r")
    with pytest.raises(SweepError, match=r"r was run is none today \(see its storage\); name one by --on"):
        profile_of(run, None)
    assert profile_of(run, "local").name == "local"
