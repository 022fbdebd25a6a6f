"""Exit status of the program that takes part in one attempt of a run of another machine."""

from __future__ import annotations

JOIN_AGAIN = 3
"""The attempt is over, and there may be another one; not a status of bertd.errors."""
