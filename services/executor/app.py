"""Puts the executor together. What it does with which event is the table at the end."""

import os
from datetime import timedelta

from callgate.control import FreezeBook
from callgate.ids import token
from callgate.platform import Platform
from callgate.service import Service
from contracts.identity import Role
from services.executor.grants import GrantChecks
from services.executor.handlers import Executor
from services.executor.http import HttpRunner
from services.executor.http_functions import HttpFunctions
from services.executor.mcp.functions import McpFunctions


async def build(platform: Platform) -> Service:
    settings = platform.settings.executor
    freezes = FreezeBook(platform.client, platform.records, platform.clock)
    await freezes.refresh()
    runner = HttpRunner()
    await runner.__aenter__()

    mcp = McpFunctions(platform.catalog, platform.records, platform.clock, os.environ)

    async def close() -> None:
        await mcp.close()
        await runner.__aexit__(None, None, None)

    executor = Executor(
        log=platform.log,
        sealer=platform.sealer,
        runners={"http": HttpFunctions(runner, os.environ), "mcp": mcp},
        catalog=platform.catalog,
        keep_up=platform.catalog.refresh,
        instance=settings.instance or f"executor-{token(5)}",
        freezes=freezes,
        grants=GrantChecks(platform.records),
        clock_skew=timedelta(seconds=settings.clock_skew),
        clock=platform.clock,
    )
    return Service(
        role=Role.EXECUTOR,
        events={
            "allowed": executor.on_allowed,
            "outcome_settled": executor.on_outcome_settled,
        },
        background=(mcp.follow,),
        close=close,
    )
