"""Lets the tests here import the platform's fakes: issuers, and the keys of a deployment."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "callgate"))
