"""Browser tests run the real services, put together by what the integration tests put them together with."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))
