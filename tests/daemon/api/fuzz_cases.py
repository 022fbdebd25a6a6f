"""How many cases the fuzzing tests send: the same 200 in each run of the suite, more and others by `make fuzz`."""

from __future__ import annotations

import os

IS_RANDOM = "BERTD_FUZZ_CASES" in os.environ
"""Whether each run sends others."""
NUM_CASES = int(os.environ.get("BERTD_FUZZ_CASES", "200"))
