"""What every test shares: how hard Hypothesis looks."""

import os

from hypothesis import HealthCheck, settings

# No deadline: a busy machine is no defect. `HYPOTHESIS_PROFILE=thorough pytest …` looks longer.
_SLOW_IS_FINE = (HealthCheck.too_slow, HealthCheck.data_too_large)
settings.register_profile("quick", max_examples=50, deadline=None, suppress_health_check=_SLOW_IS_FINE)
settings.register_profile("thorough", max_examples=2000, deadline=None, suppress_health_check=_SLOW_IS_FINE)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))
