"""How long the fuzzing takes: seconds and always the same in CI, as long and as random as one likes by `make fuzz`."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

COMMON = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}
settings.register_profile("ci", max_examples=60, derandomize=True, **COMMON)
settings.register_profile("long", max_examples=int(os.environ.get("EXAMPLES", "5000")), print_blob=True, **COMMON)
settings.load_profile(os.environ.get("FLOOD_SEG_FUZZ", "ci"))
