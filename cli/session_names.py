"""Sessions by the names that agents gave them.

A name is not on the log: with its owner (issuer, agent, user) it is hashed into the session's id. So the projection's
owners are tried, one by one, with the issuers of the configuration.
"""

from callgate.errors import ConfigurationError
from callgate.settings import Settings
from cli import output
from contracts.subjects import SESSION_ID
from services.audit.app import open_store
from services.audit.queries import sessions_named
from services.audit.store import DatabaseAway


def session_ids(settings: Settings, word: str) -> tuple[str, ...]:
    """The sessions that a word means: an id means itself. ConfigurationError where a name means none."""
    if SESSION_ID.fullmatch(word):
        return (word,)
    store = open_store(settings)
    try:
        store.require_version()
        found = sessions_named(store, word, issuers_of(settings))
    except DatabaseAway:
        raise ConfigurationError(
            "database_away", "a name is looked up in the audit database, which does not answer; give the session's id"
        ) from None
    finally:
        store.close()
    if not found:
        raise ConfigurationError(
            "no_such_session",
            f"no agent of the configured issuers has a session of the name {output.printable(word)}; "
            "`callgate audit sessions` lists the ids",
        )
    return tuple(row["session_id"] for row in found)


def one_session(settings: Settings, word: str) -> str:
    """The one session that a word means. ConfigurationError where several agents use that name."""
    found = session_ids(settings, word)
    if len(found) > 1:
        raise ConfigurationError(
            "several_sessions", f"several agents have a session of that name; give one's id: {', '.join(found)}"
        )
    return found[0]


def issuers_of(settings: Settings) -> tuple[str, ...]:
    """Whose tokens were accepted: the configured issuers, and the one that `callgate up` starts."""
    configured = tuple(one.issuer for one in settings.identity.issuers)
    own = settings.development.issuer if settings.development is not None else None
    return configured if own is None else (*configured, f"http://127.0.0.1:{own.rpartition(':')[2]}")
