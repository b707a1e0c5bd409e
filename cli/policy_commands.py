"""`callgate policy`: the Cedar policies."""

import json
from pathlib import Path
from typing import Annotated

import cedarpy
import typer

from callgate.cedar.policies import InvalidPolicies
from callgate.cedar.remarks import remarks
from callgate.cedar.schema import cedar_schema, untypable
from callgate.settings import load
from cli import output
from cli.options import DEFAULT_CONFIG, ConfigOption
from services.policy.source import load_rules, read_files

app = typer.Typer(
    help="Validate the Cedar policies; show the schema that they are written against.", no_args_is_help=True
)


@app.command()
def validate(
    folder: Annotated[Path | None, typer.Argument(help="Of the *.cedar; that of the configuration otherwise.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
) -> None:
    """Check every *.cedar against the functions' schemas; exits 1 with file and line of each problem.

    What is valid and surely not meant is a warning: a value that an argument's enum does not have, a group that is
    asked and that no permit on `approve` names.
    """
    settings = load(config)
    files = read_files(folder or settings.policy.folder)
    try:
        rules = load_rules(files, settings.catalog)
    except InvalidPolicies as invalid:
        for problem in invalid.problems:
            output.error(str(problem))
        raise typer.Exit(1) from None
    for left_out in untypable(settings.catalog):
        output.say(f"note: {left_out.function} {left_out.pointer}: {left_out.why}; a call that passes it is denied")
    assert rules.policies is not None
    text = "\n".join(files[name] for name in sorted(files))
    for remark in remarks(text, list(rules.policies.policies.values()), settings.catalog):
        output.aside(f"warning: {output.printable(remark)}")
    valid = output.count(len(rules.policies), "policy is", "policies are")
    output.say(f"{valid} valid; digest {rules.policies.digest}")


@app.command()
def schema(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Print the Cedar schema that is generated from the functions' JSON Schemas."""

    output.say(str(cedarpy.Schema.from_json_str(json.dumps(cedar_schema(load(config).catalog)))))
