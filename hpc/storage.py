"""The address of a database for searches, which is written where others can read it."""

from __future__ import annotations

import re

FORM = "DIALECT://USER@HOST:PORT/DATABASE, as in postgresql+psycopg://me@host/optuna"
HARMLESS = (
    "application_name", "channel_binding", "charset", "collation", "connect_timeout", "driver",
    "gssencmode", "host", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval",
    "krbsrvname", "passfile", "port", "read_default_file", "read_default_group", "read_timeout", "service",
    "service_name", "ssl", "ssl_ca", "ssl_capath", "ssl_cert", "ssl_check_hostname", "ssl_disabled",
    "ssl_key", "ssl_mode", "ssl_verify_cert", "ssl_verify_identity", "sslcert", "sslcrl", "sslkey",
    "sslmode", "sslrootcert", "target_session_attrs", "unix_socket", "user", "write_timeout",
)  # fmt: skip
"""What may follow a question mark: options of PostgreSQL's and MySQL's drivers that are no secrets."""
_NAME = r"(?:[\w.-]|%40)+"
_OPTION = rf"(?:{'|'.join(HARMLESS)})=[\w.,/~ +-]*"
_ADDRESS = re.compile(
    rf"(?P<dialect>[a-z][a-z0-9]*(?:\+[a-z0-9_]+)?)://(?:{_NAME}@)?"
    rf"(?:[\w.-]+|\[[0-9a-fA-F:.]+\])?(?::\d{{1,5}})?(?:/[\w.$-]*)?(?:\?{_OPTION}(?:&{_OPTION})*)?"
)


def storage_url(value: str) -> str:
    """An address of a database that may stand in files which others can read.

    Only what is certain to hold no secret passes. Messages don't repeat what is given: where in it a
    password would be can't be known when it is no proper address.

    Raises:
        ValueError: it is none, may have a password, or is of a database that several workers can't use.
    """
    dialect, colon, rest = value.partition("://")
    if dialect.startswith("sqlite"):
        raise ValueError(
            "SQLite is no database for several workers, least of all on a shared file system; "
            "leave it out: the journal in the folder of the run is made for that"
        )
    if not colon or not rest:
        raise ValueError(
            f"that is no address of a database (and not shown, since it may be a password); write {FORM}"
        )
    found = _ADDRESS.fullmatch(value)
    if found is None:
        raise ValueError(
            "the address of the database has what may be a password (it is not shown), and everybody could "
            f"read it in the folder of the run; write {FORM}, with no more than options of these behind a "
            f"question mark: {', '.join(HARMLESS)}. A password goes into ~/.pgpass or a service file "
            "(PostgreSQL), or into ~/.my.cnf (MySQL, with ?read_default_file=~/.my.cnf)"
        )
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        make_url(value).get_dialect()
    except NoSuchModuleError:
        hint = "; postgres:// is written postgresql+psycopg://" if dialect == "postgres" else ""
        raise ValueError(f"SQLAlchemy knows no database {found['dialect']}{hint}; write {FORM}") from None
    except (ArgumentError, ValueError):
        raise ValueError(f"SQLAlchemy can't read the address of the database; write {FORM}") from None
    return value
