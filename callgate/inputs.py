"""A function's arguments against its JSON Schema: where they break it, in words that quote nothing of them."""

from itertools import islice
from typing import Any

import jsonschema_rs

from callgate.cedar.shapes import Record, input_shape, safe_pointer
from callgate.errors import ConfigurationError
from callgate.jsontext import pointer_token
from contracts.events import InputProblem
from contracts.functions import Function
from contracts.model import JsonValue


class InputSchema:
    """One function's schema, compiled. ConfigurationError where it is none."""

    def __init__(self, function: Function) -> None:
        try:
            # Offline: a `$ref` to elsewhere would have the service reach the network.
            self._validator = jsonschema_rs.Draft202012Validator(function.spec.input, offline=True)
        except ValueError:
            name = function.name
            raise ConfigurationError("invalid_schema", f"the input of {name} is no valid JSON Schema") from None
        self._shape, _ = input_shape(function.name, function.spec.input)

    @property
    def shape(self) -> Record:
        """What Cedar sees of it."""
        return self._shape

    def takes(self, arguments: JsonValue) -> bool:
        """False also for what the validator cannot read: nested beyond its limit, or no Unicode."""
        try:
            return self._validator.is_valid(arguments)
        except ValueError:
            return False

    def problems(self, arguments: JsonValue, most: int) -> tuple[InputProblem, ...]:
        """At most so many places where the schema is broken; none as well where the validator cannot read them."""
        try:
            errors = list(islice(self._validator.iter_errors(arguments), most))
        except ValueError:
            return ()
        return tuple(InputProblem(pointer=self._place(error), keyword=error.kind.name) for error in errors)

    def _place(self, error: jsonschema_rs.ValidationError) -> str:
        """Where it breaks; a member that is missing is named, since its name is the schema's and not the caller's."""
        pointer = safe_pointer(self._shape, error.instance_path)
        kind: Any = error.kind
        return pointer + pointer_token(kind.property) if kind.name == "required" else pointer
