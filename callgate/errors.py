"""The closed set of errors. A parser at a boundary converts every exception into one of these.

Each carries a `code` in our own words; none carries a text from elsewhere, since those quote raw values.
"""


class CallgateError(Exception):
    """The base: `code` for machines and logs, `detail` for people; both free of raw values."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail


class Rejected(CallgateError):
    """It can never work: terminate, and record why."""


class Retryable(CallgateError):
    """It may work later: redeliver with delay."""


class Fatal(CallgateError):
    """The process cannot go on (wrong key ring, wrong deployment): stop it, so that it is seen."""


class ConfigurationError(CallgateError):
    """The operator's file is wrong; `detail` names the line and says what to write instead."""


# The log's own, closed: these three and nothing else come out of `append`.


class LostRace(CallgateError):
    """Somebody else answered that event. Read the call again, then drop the work or redo it."""

    def __init__(self) -> None:
        super().__init__("lost_race")


class BrokerAway(Retryable):
    """The broker does not answer. An append may or may not stand: finding one's own event id later is success."""

    def __init__(self, detail: str = "") -> None:
        super().__init__("broker_away", detail)


class TooLarge(Rejected):
    """The message exceeds what the broker takes; a payload that big belongs on PAYLOADS."""

    def __init__(self) -> None:
        super().__init__("too_large")
