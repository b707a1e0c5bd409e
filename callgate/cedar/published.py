"""The policy set in force, as policy published it on CONTROL, for the services that ask Cedar about people.

CONTROL is not republished, so its last word is read from the leader every second.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime

from callgate.catalog import Derived
from callgate.cedar.people import Right, may
from callgate.cedar.policies import Evaluation, PolicySet, digest_of
from callgate.cedar.schema import cedar_schema
from callgate.errors import BrokerAway, CallgateError, ConfigurationError
from callgate.keyring import BadSignature
from callgate.records import Records, Standing
from contracts.functions import Catalog
from contracts.identity import Principal
from contracts.model import JsonValue
from contracts.records import PolicySetPublished
from contracts.subjects import CONTROL, POLICY_SET_SUBJECT

logger = logging.getLogger("callgate.cedar")

LOOK_EVERY = 1.0
"""Seconds between looks at CONTROL."""


class NoPolicies(CallgateError):
    """No policy set is in force, so nobody may do anything."""

    def __init__(self) -> None:
        super().__init__("no_policies", "No policy set is published, so nobody may decide or look at anything yet.")


class PublishedPolicies:
    """Follows the published policy set. Run `follow` in the background; `current` is None until one is in force."""

    def __init__(self, records: Records, catalog: Catalog) -> None:
        self._records = records
        self._catalog = catalog
        self._schema = Derived(catalog, cedar_schema)
        self._published: PolicySetPublished | None = None
        self._sequence = 0
        self._made: tuple[Catalog, PolicySet | None] | None = None
        """The set in force, for the functions that were known when it was made."""

    @property
    def current(self) -> PolicySet | None:
        """The set in force, for the functions that are known now."""
        functions = self._catalog.snapshot
        if self._published is not None and (self._made is None or self._made[0] is not functions):
            self._made = functions, self._load(self._published.files, self._published.policy_set)
        return self._made[1] if self._made is not None else None

    def may(self, right: Right, person: Principal, resource: JsonValue, now: datetime) -> Evaluation:
        """Whether the policies in force give `person` this right over the resource (`entities.py`). NoPolicies."""
        return may(self.in_force(), right, person, resource, now)

    def in_force(self) -> PolicySet:
        """`current`. NoPolicies where there is none."""
        policies = self.current
        if policies is None:
            raise NoPolicies
        return policies

    async def refresh(self) -> None:
        """Takes over what stands on CONTROL now. BrokerAway, which leaves the set as it was."""
        standing = await self._last()
        if standing is None or standing.sequence == self._sequence:
            return
        published = standing.data
        if not isinstance(published, PolicySetPublished):
            return
        # What cannot be read replaces the former set all the same: it was withdrawn, and nothing is in force now.
        self._sequence, self._published, self._made = standing.sequence, published, None

    async def follow(self) -> None:
        """Refreshes for ever; waits out a broker that is away."""
        while True:
            try:
                await self.refresh()
            except BrokerAway:
                logger.warning("the published policy set cannot be read now; the former one stays in force")
            await asyncio.sleep(LOOK_EVERY)

    def _load(self, files: Mapping[str, str], digest: str) -> PolicySet | None:
        if digest_of(files) != digest:
            logger.error("the published policy set is not the one that its digest names; nothing is permitted")
            return None
        try:
            return PolicySet.load(files, self._schema())
        except (ConfigurationError, ValueError):
            logger.error("the published policy set does not load; nothing is permitted", extra={"policy_set": digest})
            return None

    async def _last(self) -> Standing | None:
        """The last record that verifies: a message that does not is no part of CONTROL, and no obstacle."""
        try:
            return await self._records.last(CONTROL, POLICY_SET_SUBJECT)
        except BadSignature as bad:
            logger.error("a message on CONTROL that is no policy set is ignored", extra={"code": bad.code})
        last: Standing | None = None
        async for standing in self._records.all(CONTROL, POLICY_SET_SUBJECT):
            if isinstance(standing, Standing):
                last = standing
        return last
