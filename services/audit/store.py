"""The projection in SQL, through SQLAlchemy Core: SQLite in a file, or PostgreSQL.

Every method is synchronous and meant for a thread; the errors are `DatabaseAway` (worth a retry) and, from `prepare`,
ConfigurationError. No text of the database or its driver leaves this module: they quote values and passwords.
"""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, case, create_engine, event, inspect, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.schema import DropTable, MetaData, Table

from callgate.errors import ConfigurationError, Retryable
from contracts.subjects import CONTROL, CallRef
from services.audit import tables
from services.audit.rows import Row, Rows

_LOCK = 0x63616C6C67617465
"""The key of the advisory lock that guards the tables' creation on PostgreSQL: "callgate"."""
_WRITES = {"callgate_writes": True}
_BUSY_SECONDS = 10.0


class DatabaseAway(Retryable):
    """The database does not answer, or refuses; nothing of the transaction was written, unless its commit was lost."""

    def __init__(self) -> None:
        super().__init__("database_away", "the audit database does not answer")


class Store:
    """One database. `open` connects to nothing yet."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(**_WRITES)
        self._insert: Any = postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert
        # Built once: that takes a millisecond, and they are executed ten times a second.
        upserted = (tables.calls, tables.grants, tables.grant_uses, tables.freezes)
        self._upserts = {table.name: self._upsert(table) for table in upserted}
        self._add_to_sessions = self._add_to_session()

    @classmethod
    def open(cls, url: str) -> Self:
        """`sqlite:///path` or `postgresql+psycopg://…`. ConfigurationError for anything else."""
        try:
            if url.startswith("sqlite"):
                engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS})
                event.listen(engine, "connect", _prepare_sqlite)
                event.listen(engine, "begin", _begin_sqlite)
            elif url.startswith("postgresql+psycopg:"):
                engine = create_engine(url, pool_pre_ping=True, isolation_level="READ COMMITTED")
            else:
                raise ConfigurationError(
                    "bad_database", "audit.database must begin with sqlite:/// or postgresql+psycopg://"
                )
        except (ArgumentError, NoSuchModuleError, ValueError):
            raise ConfigurationError("bad_database", "audit.database is no SQLAlchemy URL") from None
        except ImportError:
            raise ConfigurationError(
                "no_driver", "audit.database needs psycopg: install callgate with the extra `postgres`"
            ) from None
        return cls(engine)

    @classmethod
    def in_file(cls, path: Path) -> Self:
        return cls.open(f"sqlite:///{path}")

    def close(self) -> None:
        self._engine.dispose()

    def prepare(self, partitions: Iterable[str]) -> None:
        """Creates the tables in an empty database, with cursors for these and for CONTROL. DatabaseAway, and
        ConfigurationError for a database of another version."""
        with self._exclusive() as connection:
            if not inspect(connection).has_table(tables.schema_version.name):
                self._create(connection)
            _require_version(connection)
            self._add_cursors(connection, partitions)

    def require_version(self) -> None:
        """ConfigurationError for a database that is empty or of another version; DatabaseAway."""
        with self._reading() as connection:
            if not inspect(connection).has_table(tables.schema_version.name):
                raise ConfigurationError(
                    "no_projection",
                    "nothing is projected yet: start the audit service, or run `callgate audit rebuild`",
                )
            _require_version(connection)

    def reset(self, partitions: Iterable[str]) -> None:
        """Drops every table of ours, of whatever version, and begins at sequence 0. DatabaseAway."""
        with self._exclusive() as connection:
            for name in inspect(connection).get_table_names():
                if name.startswith(tables.PREFIX):
                    connection.execute(DropTable(Table(name, MetaData()), if_exists=True))
            self._create(connection)
            self._add_cursors(connection, partitions)

    def cursor(self, partition: str) -> int:
        """The last sequence that is projected. DatabaseAway, also while another process rebuilds the tables."""
        with self._reading() as connection:
            at = connection.scalar(select(tables.cursor.c.sequence).where(tables.cursor.c.partition == partition))
        if at is None:
            raise DatabaseAway
        return int(at)

    def write(self, partition: str, seen: int, last: int, rows: Rows) -> bool:
        """The rows and the cursor in one transaction. False where the cursor is not at `seen`: nothing was written."""
        moved = (
            update(tables.cursor)
            .where(tables.cursor.c.partition == partition, tables.cursor.c.sequence == seen)
            .values(sequence=last)
        )
        with _guarded(), self._writer.begin() as connection:
            # First of all, so that of several writers one takes the row and the others wait, then find it moved.
            if connection.execute(moved).rowcount != 1:
                connection.rollback()
                return False
            self._write_rows(connection, rows)
        return True

    def known(self, partition: str, refs: Iterable[CallRef]) -> set[CallRef]:
        """Those of the calls that are projected already. DatabaseAway."""
        wanted = {(ref.session_id, ref.call_id): ref for ref in refs}
        column = tables.calls.c
        query = select(column.session_id, column.call_id).where(
            column.partition == partition, column.call_id.in_([call_id for _, call_id in wanted])
        )
        with self._reading() as connection:
            found = [(session_id, call_id) for session_id, call_id in connection.execute(query)]
        return {wanted[ids] for ids in found if ids in wanted}

    def read(self, query: Any) -> list[Row]:
        """The rows of a query. DatabaseAway."""
        with self._reading() as connection:
            # Plain keys: the driver gives a kind of str that a JSON encoder need not take.
            return [{str(name): value for name, value in row.items()} for row in connection.execute(query).mappings()]

    def _write_rows(self, connection: Connection, rows: Rows) -> None:
        if rows.events:
            connection.execute(tables.events.insert(), rows.events)
        if rows.aliens:
            connection.execute(tables.aliens.insert(), rows.aliens)
        for table, upserted in (
            (tables.calls, rows.calls),
            (tables.grants, rows.grants),
            (tables.grant_uses, rows.grant_uses),
            (tables.freezes, rows.freezes),
        ):
            if upserted:
                connection.execute(self._upserts[table.name], upserted)
        if rows.sessions:
            connection.execute(self._add_to_sessions, rows.sessions)

    def _upsert(self, table: Table) -> Any:
        insert = self._insert(table)
        keys = [column.name for column in table.primary_key]
        changed = {column.name: insert.excluded[column.name] for column in table.c if column.name not in keys}
        return insert.on_conflict_do_update(index_elements=keys, set_=changed)

    def _add_to_session(self) -> Any:
        insert = self._insert(tables.sessions)
        old, new = tables.sessions.c, insert.excluded
        # Partitions are projected side by side, so the session's beginning may arrive after its end.
        earlier = new.began_at < old.began_at
        changed = {
            name: case((earlier, new[name]), else_=old[name]) for name in ("principal", "on_behalf_of", "began_at")
        }
        changed["last_at"] = case((new.last_at > old.last_at, new.last_at), else_=old.last_at)
        changed["calls"] = old.calls + new.calls
        return insert.on_conflict_do_update(index_elements=["session_id"], set_=changed)

    def _create(self, connection: Connection) -> None:
        tables.metadata.create_all(connection)
        connection.execute(tables.schema_version.insert().values(version=tables.VERSION))

    def _add_cursors(self, connection: Connection, partitions: Iterable[str]) -> None:
        insert = self._insert(tables.cursor).on_conflict_do_nothing()
        for partition in (*partitions, CONTROL):
            connection.execute(insert, {"partition": partition, "sequence": 0})

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[Connection]:
        """A transaction that no other process creates or drops tables beside."""
        with _guarded(), self._writer.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            yield connection

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        with _guarded(), self._engine.connect() as connection:
            yield connection


@contextlib.contextmanager
def _guarded() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, OSError):
        raise DatabaseAway from None


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # this module says BEGIN itself: the driver's own idea leaves DDL outside
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL"):
        # A crash of the machine may lose the last transactions whole, the cursor with them; the log fills them again.
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("callgate_writes", False)
    # A writer takes its lock at once: upgrading a read would fail where it could have waited.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _require_version(connection: Connection) -> None:
    found = connection.scalars(select(tables.schema_version.c.version)).all()
    if list(found) != [tables.VERSION]:
        raise ConfigurationError(
            "database_version",
            f"the audit database is of version {_shown(found)}, this Callgate reads {tables.VERSION}; "
            "run `callgate audit rebuild` to fill it anew from the log",
        )


def _shown(found: Iterable[Any]) -> str:
    return ", ".join(str(int(version)) for version in found) or "unknown"
