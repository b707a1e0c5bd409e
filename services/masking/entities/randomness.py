"""What sets a secret apart from words, and a value from a stand-in for one: small pure functions, linear."""

import math
import re
from collections import Counter
from typing import Final

_LONGEST: Final = 4096
"""Characters that are looked at; more say nothing new."""
_RUNS = re.compile(r"[A-Za-z0-9]+")
_SWITCHES = re.compile(r"(?:[a-z](?=[A-Z0-9])|[A-Z](?=[a-z0-9])|[0-9](?=[A-Za-z]))")
_CAPITALS = re.compile(r"[A-Z](?=[A-Z])")
_HEXADECIMAL = re.compile(r"[0-9a-f-]+|[0-9A-F-]+")

_STANDS_FOR_NOTHING = re.compile(
    r"null|none|nil|undefined|nan|n/?a|true|false|yes|no|on|off|required|optional|missing|empty|unset|default|unknown"
    r"|string|text|str|password|passwd|passphrase|passwort|pwd|secret|token|redacted|masked|hidden|filtered|removed"
    r"|encrypted|protected|confidential|invalid|incorrect|wrong|expired|valid|correct|set|changed|reset|todo|tbd"
    r"|example|placeholder|value|here|disabled|enabled|asc|desc|number|integer|boolean|object|array|any|test"
)
_STAND_IN = re.compile(
    r"[*\u2022\u25cf.#?_xX-]+"  # ****, ....., xxxx
    r"|<[^<>]*>|\[[^\[\]]*\]|\{\{?[^{}]*\}?\}|%[^%\s]*%?|__\w+__"  # <it>, [IT], {{ it }}, %s, __IT__
    r"|\$\{[^{}]*\}|\$\([^()]*\)|\$[A-Z_][A-Z0-9_]*"  # ${DB_PASSWORD}, $(pass show db), $DB_PASSWORD
    r"|(?:process\.env|os\.environ|os\.getenv|getenv|env|vault|secrets?|config|settings|self|this|var|local|data)[.:(\[].*"
    r"|(?:arn|ssm|op|file|secretsmanager|keyring|keychain):.*"  # names of secrets, not secrets
    r"|(?:your|my|the|some|enter|insert|change|replace)[_ -][a-z _-]*(?:key|token|secret|password|here|me)"
    r"|\.{0,2}(?:/[a-z0-9_.-]+){2,}"  # a path of a file
)


def entropy(text: str) -> float:
    """Shannon's, of the text's own characters, in bits per character."""
    length = len(text)
    return -sum(n / length * math.log2(n / length) for n in Counter(text).values()) if text else 0.0


def mixed(token: str) -> bool:
    """Has digits and letters, so is no chain of words such as `sk-learn-based-classification`."""
    return any(map(str.isdigit, token)) and any(map(str.isalpha, token))


def token_like(token: str) -> bool:
    """Whether its longest run of letters and digits is 10 or longer and has both."""
    run = max(_RUNS.findall(token[:_LONGEST]), key=len, default="")
    return len(run) >= 10 and mixed(run)


def random_looking(text: str) -> bool:
    """Whether no one would name a thing so: a run of letters and digits, 10 or longer, that goes back and forth between
    digits, capitals and small letters, in a text with the entropy of random digits. Words joined by anything are not,
    nor are numbers."""
    text = text[:_LONGEST]
    run = max(_RUNS.findall(text), key=len, default="")
    switches = len(_SWITCHES.findall(run))
    if len(run) < 10:
        return False
    if not any(map(str.isdigit, text)):
        # Words joined in camelCase hardly have two capitals in a row; random letters do at every fourth place.
        return len(run) >= 20 and switches > 0.3 * len(run) and len(_CAPITALS.findall(run)) > 1 and entropy(text) >= 3.5
    if switches < 3 and not _HEXADECIMAL.fullmatch(text):
        return False
    return mixed(text) and entropy(text) >= (2.6 if _HEXADECIMAL.fullmatch(text) else 3.1)


def stand_in(value: str) -> bool:
    """Whether a value only says that there is one: `****`, `<password>`, `${DB_PASSWORD}`, `null`, `required`."""
    value = value.strip()
    return not value or bool(_STANDS_FOR_NOTHING.fullmatch(value.lower()) or _STAND_IN.fullmatch(value[:512]))
