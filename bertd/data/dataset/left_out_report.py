"""What a data set's sources held and what of it was left out, by reason: the file left_out.json beside the manifest.

Of each source, the characters kept and those left out add up to the characters read. `docs/data.md` says what counts as
read in each format.
"""

from __future__ import annotations

import json
from pathlib import Path

from bertd.errors import ShardError
from bertd.run.dataset_manifest import FrozenModel

LEFT_OUT_FILE = "left_out.json"


class SourceLeftOut(FrozenModel):
    """One source."""

    read: int
    """Characters of its documents, as the format gives them."""
    kept: int
    """Characters of the text that was tokenized."""
    left_out: dict[str, int]
    """Characters by reason."""
    samples: dict[str, list[str]]
    """Beginnings of some of the pieces, by reason; of bounded number and length."""

    @property
    def kept_share(self) -> float:
        """Share of the characters read; 1 for a source without any."""
        return self.kept / self.read if self.read else 1.0


class LeftOutReport(FrozenModel):
    """Content of left_out.json."""

    sources: list[SourceLeftOut]
    """In the order of the manifest's."""


def read_left_out(root: Path) -> LeftOutReport | None:
    """The report of the data set in `root`; None if an older bertd made it without one.

    Raises:
        ShardError: it cannot be read, or is not such a report.
    """
    path = root / LEFT_OUT_FILE
    if not path.exists():
        return None
    try:
        return LeftOutReport.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise ShardError(f"{path}: not a report of what was left out: {error}; prepare the data set again") from error
