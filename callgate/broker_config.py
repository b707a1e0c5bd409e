"""The text of nats-server's configuration: JetStream that syncs, and an account of its own for each service.

Why accounts, and not just users: nats-server checks the subject that a client publishes to, but not the reply subject
that it names (except under `$JS.ACK`). In a shared account a user who may read a message it wrote (Direct Get) names
`$JS.API.STREAM.DELETE.<stream>` or `$JS.API.CONSUMER.CREATE…` as the reply, and the server itself then publishes the
chosen body there (seen on 2.15.1). Between accounts a reply comes back to the requester's own account, where only its
own imports exist, so a reply can reach nothing that its user could not publish to anyway.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from callgate.errors import ConfigurationError
from callgate.rights import Rights, inbox_prefix, rights
from contracts.identity import Role

LOG_ACCOUNT = "LOG"
"""The account that owns JetStream; the streams lie in `<store_dir>/jetstream/LOG`."""
MAX_PAYLOAD = 8 * 1024 * 1024
_ESCAPES = {"\\": "\\\\", '"': '\\"'}


@dataclass(frozen=True, slots=True)
class Cluster:
    """One of three nodes: `routes` are the others' `nats://host:port`; `password` guards the routes."""

    server_name: str
    name: str
    port: int
    routes: Sequence[str]
    password: str = field(repr=False)
    host: str = "127.0.0.1"


def nats_config(
    users: Mapping[Role, str],
    *,
    port: int,
    store_dir: str,
    host: str = "127.0.0.1",
    sync_always: bool = True,
    server_name: str | None = None,
    cluster: Cluster | None = None,
    max_store: int | None = None,
    replicas: int = 1,
) -> str:
    """The configuration for a broker with these users (role → password). `port` -1 takes any free one.

    `max_store`: bytes that the streams may take on this server, of which `$JS.API.INFO` then tells how many they do;
    None: the server takes three quarters of what its disk has free at its start, and tells nobody.
    It holds the passwords: write it with mode 0600. ConfigurationError for a missing role or an unusable password.
    """
    missing = [role.value for role in Role if not users.get(role)]
    if missing:
        raise ConfigurationError("nats_password_missing", f"no NATS password for {', '.join(missing)}")
    name = cluster.server_name if cluster else server_name
    exports = _exports()
    lines = [
        f"host: {_quoted(host)}",
        f"port: {port}",
        *([f"server_name: {_quoted(name)}"] if name else []),
        f"max_payload: {MAX_PAYLOAD}",
        "jetstream {",
        f"  store_dir: {_quoted(store_dir)}",
        # NATS' own default flushes every two minutes and loses what it had acknowledged.
        f"  sync_interval: {'always' if sync_always else '2m'}",
        *([f"  max_file_store: {max_store}"] if max_store else []),
        # Refuse API requests with unknown fields.
        "  strict: true",
        "}",
        # The form of acknowledgement subjects that the rights are written for; a later server may change its default.
        "feature_flags { js_ack_fc_v2: false }",
        *(_cluster(cluster) if cluster else []),
        "accounts {",
        f"  {LOG_ACCOUNT} {{",
        # An account's use is that of all replicas on all servers together.
        f"    jetstream: {{ max_file: {max_store * replicas} }}" if max_store else "    jetstream: enabled",
        f"    users: [ {_user(Role.PROVISIONER, users)} ]",
        "    exports: [",
        *(f"      {export}" for export in exports),
        "    ]",
        "  }",
        *(line for role in Role if role is not Role.PROVISIONER for line in _service_account(role, users)),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _account(role: Role) -> str:
    return role.value.upper()


def _imported(role: Role) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What the role's account takes from LOG: (services it may publish to, streams it may receive)."""
    granted = rights(role)
    own = f"{inbox_prefix(role)}."
    return granted.publish, tuple(subject for subject in granted.subscribe if not subject.startswith(own))


def _exports() -> list[str]:
    services: dict[str, list[str]] = {}
    streams: dict[str, list[str]] = {}
    for role in Role:
        if role is Role.PROVISIONER:
            continue
        publishes, receives = _imported(role)
        for subject in publishes:
            services.setdefault(subject, []).append(_account(role))
        for subject in receives:
            streams.setdefault(subject, []).append(_account(role))
    return [
        *(_service_export(subject, accounts) for subject, accounts in services.items()),
        *(f"{{ stream: {_quoted(subject)}, accounts: [{', '.join(to)}] }}" for subject, to in streams.items()),
    ]


def _service_export(subject: str, accounts: list[str]) -> str:
    # A batched Direct Get answers with many messages; every other request has one answer at most.
    many = ", response_type: stream" if subject.startswith("$JS.API.DIRECT.GET") else ""
    return f"{{ service: {_quoted(subject)}, accounts: [{', '.join(accounts)}]{many} }}"


def _service_account(role: Role, users: Mapping[Role, str]) -> list[str]:
    publishes, receives = _imported(role)
    source = [("service", subject) for subject in publishes] + [("stream", subject) for subject in receives]
    return [
        f"  {_account(role)} {{",
        f"    users: [ {_user(role, users)} ]",
        "    imports: [",
        *(f"      {{ {kind}: {{ account: {LOG_ACCOUNT}, subject: {_quoted(text)} }} }}" for kind, text in source),
        "    ]",
        "  }",
    ]


def _user(role: Role, users: Mapping[Role, str]) -> str:
    password = users[role]
    # nats-server takes a value with this prefix for a bcrypt hash.
    if len(password) < 16 or password.startswith("$2"):
        raise ConfigurationError("nats_password_unusable", f"the NATS password of {role.value} is too short or a hash")
    return (
        f"{{ user: {_quoted(role.value)}, password: {_quoted(password)}, permissions: {_permissions(rights(role))} }}"
    )


def _permissions(granted: Rights) -> str:
    deny = f", deny: {_list(granted.deny_publish)}" if granted.deny_publish else ""
    publish = f"{{ allow: {_list(granted.publish)}{deny} }}"
    return f"{{ publish: {publish}, subscribe: {{ allow: {_list(granted.subscribe)} }} }}"


def _cluster(cluster: Cluster) -> list[str]:
    routes = ", ".join(_quoted(route) for route in cluster.routes)
    return [
        "cluster {",
        f"  name: {_quoted(cluster.name)}",
        f"  host: {_quoted(cluster.host)}",
        f"  port: {cluster.port}",
        f"  authorization {{ user: route, password: {_quoted(cluster.password)} }}",
        f"  routes: [{routes}]",
        "}",
    ]


def _list(subjects: Sequence[str]) -> str:
    return f"[{', '.join(_quoted(subject) for subject in subjects)}]"


def _quoted(text: str) -> str:
    """A string of nats-server's configuration language; control characters have no place in any of our values."""
    if not text.isprintable():
        raise ConfigurationError("nats_config_unprintable", "a value for nats-server holds a control character")
    return '"' + "".join(_ESCAPES.get(character, character) for character in text) + '"'
