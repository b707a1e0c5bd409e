"""`callgate keys`: the deployment's keys."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from callgate import keys
from callgate.settings import load
from cli import output
from cli.options import DEFAULT_CONFIG, ConfigOption
from contracts.identity import Role

app = typer.Typer(help="Make, rotate and show the deployment's keys.", no_args_is_help=True)


@app.command()
def init(
    config: ConfigOption = DEFAULT_CONFIG,
    if_missing: Annotated[
        bool, typer.Option("--if-missing", help="Leave keys that stand already, and exit 0.")
    ] = False,
) -> None:
    """Make every key of a new deployment: the root, and each service's signing key, sealing key and NATS password.

    Then move `root/` away from the servers, and give each service `root.pub`, `ring.json` and its own folder only.
    """
    settings = load(config)
    folder = settings.keys_folder
    if if_missing and (folder / "ring.json").exists():
        output.say(f"{folder} holds the keys of deployment {keys.read_ring(folder).deployment}")
        return
    ring = keys.init(folder, settings.deployment)
    output.say(f"{len(ring.keys)} keys for deployment {ring.deployment} in {folder}")
    output.say(f"next: keep {folder / 'root'} offline, then `callgate provision`")


@app.command("hand-out")
def hand_out(
    target: Annotated[Path, typer.Argument(help="Gets one folder for each service.")],
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Put what each service is given into a folder of its own: root.pub, ring.json and its keys, nobody else's.

    Run it again after `keys rotate`. A service finds its folder through the setting `keys`.
    """
    keys.hand_out(load(config).keys_folder, target)
    output.say(f"handed out to {', '.join(f'{target / role}' for role in Role)}")


@app.command()
def rotate(
    service: Annotated[Role, typer.Argument(help="Whose keys.")],
    config: ConfigOption = DEFAULT_CONFIG,
    lead: Annotated[int, typer.Option(min=0, help="Minutes until the old keys end; 0 for stolen ones.")] = 10,
) -> None:
    """Give a service new keys. What the old ones signed goes on verifying; what was sealed to them goes on opening.

    Needs root/root.key. Within the lead, copy ring.json to every service and the folder to this one (`keys hand-out`);
    running services take both up by themselves. What the old key signs after its end counts nowhere.
    """
    settings = load(config)
    ring = keys.rotate(settings.keys_folder, service, lead=timedelta(minutes=lead))
    output.say(f"ring {ring.serial}: new keys for {service}; the old ones end in {output.count(lead, 'minute')}")
    output.say("hand ring.json out to every service, and the new keys to this one, before that; no restart is needed")


@app.command()
def show(
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="The whole ring as JSON.")] = False,
) -> None:
    """Show the verified key ring: which key may sign or read what, and since when. Public parts only."""
    ring = keys.read_ring(load(config).keys_folder)
    if as_json:
        output.say(json.dumps(ring.model_dump(mode="json"), indent=2))
        return
    issued = f"{ring.issued_at:%Y-%m-%d %H:%M} UTC"
    output.say(f"deployment {ring.deployment}, ring {ring.serial} of {issued}, signed by the root")
    for key in ring.keys:
        until = f"until {key.not_after:%Y-%m-%d %H:%M}" if key.not_after else "in force"
        output.say(f"  {key.id:26} {key.role:12} {key.use:5} since {key.not_before:%Y-%m-%d %H:%M}  {until}")
