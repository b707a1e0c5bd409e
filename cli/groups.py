"""Groups of commands that are listed without being imported: help and completion come at once, whatever they need."""

from importlib import import_module
from typing import Any, Final, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_group_from_info
from typer.models import TyperInfo


class Group(NamedTuple):
    module: str
    """Its `app` is the group."""
    panel: str
    help: str
    """One line, as the module's own help begins."""


GROUPS: Final = {
    "keys": Group("cli.keys_commands", "Operate", "Make, rotate and show the deployment's keys."),
    "policy": Group(
        "cli.policy_commands",
        "Operate",
        "Validate the Cedar policies; show the schema that they are written against.",
    ),
    "notices": Group(
        "cli.notice_commands",
        "Operate",
        "See how the sending of notices goes; send dead letters again.",
    ),
    "audit": Group("cli.audit", "Audit", "Find, replay and verify what happened."),
    "mask": Group(
        "cli.mask_commands",
        "Develop",
        "Mask what is sensitive in a JSON document or a text, as the gateway does.",
    ),
    "dev-issuer": Group(
        "cli.dev_issuer_commands",
        "Develop",
        "Development tokens for services that run apart. Never for production.",
    ),
}


class Later(TyperGroup):
    """What the list of commands shows of a group. Invoked or completed, it is the group of its module.

    (Typer carries its own copy of click, whose contexts have no public name.)
    """

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        return self.imported().make_context(info_name, args, parent, **extra)

    def imported(self) -> TyperGroup:
        """The group itself, with its commands."""
        name = self.name or ""
        app: typer.Typer = import_module(GROUPS[name].module).app
        return get_group_from_info(
            TyperInfo(app, name=name),
            pretty_exceptions_short=False,
            suggest_commands=self.suggest_commands,
            rich_markup_mode=self.rich_markup_mode,
        )


def mount(app: typer.Typer) -> None:
    """Adds every group to the list of commands."""
    for name, group in GROUPS.items():
        app.add_typer(typer.Typer(), cls=Later, name=name, help=group.help, rich_help_panel=group.panel)
