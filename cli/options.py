"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", envvar="CALLGATE_CONFIG", help="The configuration file.", show_default=True)
]
DEFAULT_CONFIG = Path("callgate.yaml")
