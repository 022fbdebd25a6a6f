"""The software that a job was queued with."""

from __future__ import annotations

import hashlib

from bertd.records.record import Record


class Software(Record):
    """What decides, beside the recipe, what a job computes."""

    bertd: str
    """The version."""
    source_sha256: str
    """Over bertd's own files: a checkout may change without a new version."""
    python: str
    packages: dict[str, str]
    """Versions of all installed packages, by name, as `pip freeze` has them."""
    variables: dict[str, str]
    """Environment variables of a stated list, none of which holds a secret."""

    @property
    def digest(self) -> str:
        """Equal for equal software."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()
