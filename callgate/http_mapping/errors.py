"""Why a request and arguments are not made of each other."""


class MappingError(ValueError):
    """`code` says why, in our words. `parameter` is a name from the function's definition, never one that an agent made
    up; None where it is of no one parameter."""

    def __init__(self, code: str, parameter: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.parameter = parameter
