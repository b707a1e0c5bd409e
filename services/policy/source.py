"""The policies folder: read, validated as a whole, published to CONTROL, and followed without a gap.

A set comes into force only once it is valid and stands on CONTROL; until then the one before it stays in force. A
folder that is being written may hold, for a moment, a valid set without its forbids, so a change counts only when two
looks in a row read the same.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from callgate.cedar.masked_input import mistaken_reads
from callgate.cedar.policies import InvalidPolicies, PolicyProblem, PolicySet
from callgate.cedar.schema import CALL_ACTION, cedar_schema, is_group, tag_action
from callgate.errors import BrokerAway, ConfigurationError, LostRace, TooLarge
from callgate.keyring import BadSignature
from callgate.records import Records
from contracts.functions import Catalog, HttpConnection
from contracts.records import ConnectionRegistered, PolicySetPublished, RecordData
from contracts.subjects import CONTROL, POLICY_SET_SUBJECT, connection_subject
from services.policy.domain import Rules, prepare

logger = logging.getLogger("services.policy")

_PUBLISH_TRIES = 5


def read_files(folder: Path) -> dict[str, str]:
    """File name → text of every *.cedar in the folder. ConfigurationError where it cannot be read or holds none."""
    try:
        files = {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.cedar"))}
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError("policies_unreadable", f"{folder} holds a *.cedar that cannot be read") from None
    if not files:
        raise ConfigurationError("no_policies", f"no *.cedar in {folder}; without a policy every call is denied")
    return files


def load_rules(files: dict[str, str], catalog: Catalog) -> Rules:
    """The rules of valid policies. InvalidPolicies lists every problem with file and line."""
    catalog = catalog.snapshot
    policies = PolicySet.load(files, cedar_schema(catalog))
    problems = problems_of(policies, catalog)
    if problems:
        raise InvalidPolicies(problems)
    return prepare(catalog, policies)


def problems_of(policies: PolicySet, catalog: Catalog) -> list[PolicyProblem]:
    """What validation says, but for policies that name functions of MCP servers, or groups of them, that are not found
    yet: until they are, nothing is asked that such a policy could decide."""
    members = {tag_action(tag) for function in catalog for tag in function.spec.tags}
    members |= {CALL_ACTION for _ in catalog}

    def is_early(action: str) -> bool:
        return catalog.awaits(action) or (catalog.may_grow and is_group(action) and action not in members)

    early = {one.id for one in policies.policies.values() if any(map(is_early, one.actions))}
    problems = [*policies.validate(), *mistaken_reads(policies, catalog)]
    return [problem for problem in problems if problem.policy not in early]


class PolicySource:
    """Knows the rules in force."""

    def __init__(
        self,
        folder: Path,
        catalog: Catalog,
        records: Records,
        clock: Callable[[], datetime],
        check_every: float,
    ) -> None:
        self._folder = folder
        self._catalog = catalog
        self._records = records
        self._clock = clock
        self._check_every = check_every
        self._looked: dict[str, str] = {}
        """What the last look read."""
        self._seen: dict[str, str] = {}
        """What was taken up, or refused."""
        self._files: dict[str, str] = {}
        """What is in force."""
        self._complaint = ""
        self._rules: Rules | None = None
        self._of: Catalog = catalog.snapshot
        """The functions that the rules were made for."""

    @property
    def current(self) -> Rules | None:
        """The rules in force, for the functions that are known now."""
        known = self._catalog.snapshot
        if self._rules is not None and known is not self._of:
            self._rules = self._renewed(known)
            self._of = known
        return self._rules

    async def start(self) -> None:
        """Loads and publishes. ConfigurationError where the policies are invalid: without rules it helps nobody."""
        files = read_files(self._folder)
        known = self._catalog.snapshot
        rules = load_rules(files, known)
        await self._publish(rules, files)
        for name, connection in known.connections.items():
            if not isinstance(connection, HttpConnection):
                continue  # its functions are found, and stand on CONTROL as they are
            functions = {f"{name}.{f}": self._catalog.digest_of(f"{name}.{f}") for f in connection.functions}
            registered = ConnectionRegistered(connection=name, functions=functions)
            await self._publish_changed(connection_subject(name), registered)
        self._seen = self._files = files
        self._rules, self._of = rules, known

    async def watch(self) -> None:
        """Looks for changed files, until cancelled."""
        while True:
            await asyncio.sleep(self._check_every)
            try:
                await self._look()
            except BrokerAway:
                logger.warning("changed policies wait for the broker")

    async def _look(self) -> None:
        try:
            files = await asyncio.to_thread(read_files, self._folder)
        except ConfigurationError as error:
            self._complain(error)
            return
        looked, self._looked = self._looked, files
        if files == self._seen:
            self._complaint = ""
            return
        if files != looked:
            return  # perhaps still being written
        try:
            known = self._catalog.snapshot
            rules = load_rules(files, known)
            await self._publish(rules, files)
        except ConfigurationError as error:
            self._complain(error)
            self._seen = files  # said once, not every second
            return
        self._seen = self._files = files
        self._complaint, self._rules, self._of = "", rules, known
        logger.info("policies reloaded", extra={"policy_set": rules.policies.digest if rules.policies else None})

    def _renewed(self, known: Catalog) -> Rules:
        """The rules of the policies in force for other functions than before. What the policies say of a function that
        no longer fits is an error in each call that meets it, and so a denial."""
        try:
            policies = PolicySet.load(self._files, cedar_schema(known))
            for problem in problems_of(policies, known):
                logger.error("a policy does not fit the functions that were found: %s", problem)
            return prepare(known, policies)
        except ConfigurationError:
            logger.exception("the functions that were found cannot be judged; every call is denied")
            return Rules(None, {})

    def _complain(self, error: ConfigurationError) -> None:
        if error.detail != self._complaint:
            self._complaint = error.detail
            logger.error("changed policies are refused, the ones before stay in force: %s", error.detail)

    async def _publish(self, rules: Rules, files: dict[str, str]) -> None:
        assert rules.policies is not None  # noqa: S101
        published = PolicySetPublished(policy_set=rules.policies.digest, files=files)
        try:
            await self._publish_changed(POLICY_SET_SUBJECT, published)
        except TooLarge:
            raise ConfigurationError("policies_too_large", f"{self._folder} holds more than a message can") from None

    async def _publish_changed(self, subject: str, data: RecordData) -> None:
        """Publishes unless the last record there says the same; replicas settle who by the expected sequence."""
        for _ in range(_PUBLISH_TRIES):
            try:
                standing = await self._records.last(CONTROL, subject)
            except BadSignature as bad:
                logger.error("an alien record stands on CONTROL", extra={"subject": subject, "code": bad.code})
                await self._records.publish(subject, data, self._clock())
                return
            if standing is not None and standing.data == data:
                return
            try:
                await self._records.publish(subject, data, self._clock(), standing.sequence if standing else 0)
            except LostRace:
                continue
            return
        raise BrokerAway("CONTROL changes faster than it can be read")
