"""The projection's tables. Times are RFC 3339 text in UTC with microseconds, so text order is time order everywhere."""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text

VERSION = 2
"""Of these tables. A database of another version is refused, and refilled from the log by `callgate audit rebuild`."""

PREFIX = "callgate_"
"""Of every table: the database may hold those of others."""

metadata = MetaData()

schema_version = Table(f"{PREFIX}schema_version", metadata, Column("version", Integer, primary_key=True))

cursor = Table(
    f"{PREFIX}cursor",
    metadata,
    Column("partition", String(16), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
)
"""Up to which sequence each partition, and CONTROL, is projected; written in one transaction with what it speaks of."""

sessions = Table(
    f"{PREFIX}sessions",
    metadata,
    Column("session_id", String(34), primary_key=True),
    Column("principal", Text, nullable=False),
    Column("on_behalf_of", Text),
    Column("began_at", String(27), nullable=False),
    Column("last_at", String(27), nullable=False),
    Column("calls", Integer, nullable=False),
    Index(f"{PREFIX}sessions_newest", "began_at", "session_id"),
    Index(f"{PREFIX}sessions_principal", "principal"),
)

calls = Table(
    f"{PREFIX}calls",
    metadata,
    Column("partition", String(16), primary_key=True),
    Column("call_id", String(36), primary_key=True),
    Column("session_id", String(34), primary_key=True),
    Column("function", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("on_behalf_of", Text),
    Column("state", String(32), nullable=False),
    Column("began_at", String(27), nullable=False),
    Column("ended_at", String(27)),
    Column("head_sequence", BigInteger, nullable=False),
    Column("head_digest", String(64), nullable=False),
    Column("code", String(64)),
    Column("policies", Text, nullable=False),
    Column("approvers", Text, nullable=False),
    Index(f"{PREFIX}calls_session", "session_id", "began_at"),
    Index(f"{PREFIX}calls_function", "function", "state"),
    Index(f"{PREFIX}calls_code", "code", "ended_at"),
    sqlite_with_rowid=False,
)
"""`policies` (of the last decision) and `approvers` (who approved, in order) are JSON arrays."""

events = Table(
    f"{PREFIX}events",
    metadata,
    Column("partition", String(16), primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("session_id", String(34), nullable=False),
    Column("call_id", String(36), nullable=False),
    Column("name", String(32), nullable=False),
    Column("event_id", String(36), nullable=False),
    Column("at", String(27), nullable=False),
    Column("recorded_at", String(27), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("follows", String(64), nullable=False),
    Column("key_id", Text, nullable=False),
    Column("place", String(8), nullable=False),
    Column("code", String(64)),
    Column("facts", Text, nullable=False),
    Index(f"{PREFIX}events_call", "session_id", "call_id"),
    sqlite_with_rowid=False,
)
"""Everything that verifies by itself. `place`: `chain` or `alien`, and then `code` says why. `facts`: a JSON object."""

aliens = Table(
    f"{PREFIX}aliens",
    metadata,
    Column("partition", String(16), primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("code", String(64), nullable=False),
    Column("recorded_at", String(27), nullable=False),
)
"""Every message that is no part of a chain, whether it verifies by itself or not: what was alarmed."""

grants = Table(
    f"{PREFIX}grants",
    metadata,
    Column("grant_id", String(64), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("by", Text, nullable=False),
    Column("by_issuer", Text, nullable=False),
    Column("agent", Text),
    Column("issuer", Text),
    Column("on_behalf_of", Text),
    Column("session_id", Text),
    Column("function", Text, nullable=False),
    Column("conditions", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("uses", Integer, nullable=False),
    Column("used", Integer, nullable=False),
    Column("since", String(27), nullable=False),
    Column("expires_at", String(27), nullable=False),
    Column("revoked_at", String(27)),
    Column("revoked_by", Text),
    Index(f"{PREFIX}grants_newest", "sequence"),
)
"""`sequence` and `digest` are those of the record on CONTROL, where the sealed reason stays. `conditions`: JSON."""

grant_uses = Table(
    f"{PREFIX}grant_uses",
    metadata,
    Column("grant_id", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("call", Text, nullable=False),
    Column("at", String(27), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

freezes = Table(
    f"{PREFIX}freezes",
    metadata,
    Column("freeze_id", String(64), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("scope", String(16), nullable=False),
    Column("target", Text),
    Column("issuer", Text),
    Column("by", Text, nullable=False),
    Column("by_issuer", Text, nullable=False),
    Column("since", String(27), nullable=False),
    Column("expires_at", String(27)),
    Column("lifted_at", String(27)),
    Column("lifted_by", Text),
    Index(f"{PREFIX}freezes_newest", "sequence"),
)
