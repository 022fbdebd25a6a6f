"""`python -m bertd.tokenizer.check_stock FOLDER`: check that transformers gives the ids of the folder's tokenizer.json.

`bertd data prepare` runs this while it tokenizes, and `bertd export` when it has written one: a process of its own,
since transformers imports torch.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bertd.program import run_main
from bertd.tokenizer.stock import require_stock_ids


def main() -> int:
    """Return 0 if it does; otherwise print one line on standard error and return the error's exit status."""
    return run_main(lambda: require_stock_ids(Path(sys.argv[1])), name="")


if __name__ == "__main__":
    sys.exit(main())
