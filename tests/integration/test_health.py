"""What `/health` says of a service that has nothing of its own to wait for, as its broker goes and comes."""

from pathlib import Path

import aiohttp
from approval_scene import eventually
from deployment import running_deployment

from callgate.host import bind, run_services
from callgate.platform import Platform
from callgate.service import Service
from contracts.identity import Role


async def build(platform: Platform) -> Service:
    return Service(platform.role)


async def test_no_service_is_ready_without_its_broker(tmp_path: Path) -> None:
    listener = bind("127.0.0.1:0")
    async with running_deployment(tmp_path) as deployment, deployment.platforms(Role.EXECUTOR, Role.MASKING) as both:
        parts = [(platform, build) for platform in both.values()]
        async with run_services(parts, listener) as (url, failed), aiohttp.ClientSession(url) as http:

            async def health() -> dict[str, str]:
                async with http.get("/health") as answer:
                    services: dict[str, str] = (await answer.json())["services"]
                    assert answer.status == (200 if set(services.values()) == {"ok"} else 503)
                    return services

            async def all_say(word: str) -> bool | None:
                return await health() == {"executor": word, "masking": word} or None

            assert await all_say("ok")
            await deployment.broker.stop()
            await eventually(lambda: all_say("broker_away"))
            await deployment.broker.start()
            await eventually(lambda: all_say("ok"))
            assert not failed.done()
