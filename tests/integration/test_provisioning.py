"""`callgate provision` where the broker is away, or knows other keys."""

import asyncio
import socket
from pathlib import Path

import pytest
from broker_fixtures import passwords, running_broker

from callgate import keys
from callgate.errors import ConfigurationError
from callgate.settings import BrokerSettings, Settings
from cli.provisioning import provision_deployment


def settings_of(folder: Path, url: str) -> Settings:
    keys.init(folder / "keys", "test")
    return Settings(deployment="test", state=folder, broker=BrokerSettings(url=url))


async def test_says_at_once_that_no_broker_is_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"nats://127.0.0.1:{free.getsockname()[1]}"
    async with asyncio.timeout(10):
        with pytest.raises(ConfigurationError, match="does it run with these keys"):
            await provision_deployment(settings_of(tmp_path, url))


async def test_says_that_the_broker_knows_other_keys(tmp_path: Path) -> None:
    async with running_broker(tmp_path / "broker", passwords()) as broker, asyncio.timeout(10):
        with pytest.raises(ConfigurationError, match="broker_unreachable"):
            await provision_deployment(settings_of(tmp_path, broker.url))


async def test_takes_the_first_of_several_servers_that_answers(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "nats://placeholder")
    users = {role: keys.read_password(settings.keys_folder, role) for role in passwords()}
    with socket.create_server(("127.0.0.1", 0)) as free:
        away = f"nats://127.0.0.1:{free.getsockname()[1]}"
    async with running_broker(tmp_path / "broker", users) as broker, asyncio.timeout(20):
        several = settings.model_copy(update={"broker": BrokerSettings(url=f"{away}, {broker.url}")})
        assert (await provision_deployment(several)).complete
