"""Puts policy together. What it does with which event is the table at the end."""

from callgate.control import FreezeBook, GrantBook
from callgate.platform import Platform
from callgate.revocations import RevocationBook
from callgate.service import Service
from contracts.identity import Role
from services.policy.domain import Rules
from services.policy.grants import GrantUses
from services.policy.handlers import Policy
from services.policy.sessions import Sessions
from services.policy.source import PolicySource


async def build(platform: Platform) -> Service:
    settings = platform.settings.policy
    source = PolicySource(settings.folder, platform.catalog, platform.records, platform.clock, settings.check_every)
    await source.start()
    freezes = FreezeBook(platform.client, platform.records, platform.clock)
    await freezes.refresh()

    async def rules(function: str) -> Rules:
        await platform.catalog.look_up(function)
        return source.current or Rules(None, {})

    policy = Policy(
        log=platform.log,
        sealer=platform.sealer,
        rules=rules,
        sessions=Sessions(platform.client),
        freezes=freezes,
        grants=GrantUses(
            platform.log,
            GrantBook(platform.client, platform.records, platform.clock),
            RevocationBook(platform.client, platform.records, platform.clock),
            platform.records,
            platform.catalog,
            platform.clock,
        ),
        clock=platform.clock,
    )
    return Service(
        role=Role.POLICY,
        events={
            "arguments_masked": policy.on_arguments_masked,
            "approved": policy.on_approved,
        },
        background=(source.watch, freezes.follow),
    )
