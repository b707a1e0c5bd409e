"""Options that several commands share. Imports nothing that takes time: `--help` needs it."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="CALLGATE_CONFIG", help="The configuration file.", show_default=True)
]
DEFAULT_CONFIG = Path("callgate.yaml")


class ServiceName(StrEnum):
    """The services that `serve` runs: every role but the provisioner."""

    INGRESS = "ingress"
    MASKING = "masking"
    POLICY = "policy"
    APPROVAL = "approval"
    EXECUTOR = "executor"
    AUDIT = "audit"
