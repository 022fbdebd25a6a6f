"""`python -m bertd.tokenizer.check_stock FOLDER`: check that transformers gives the ids of the folder's tokenizer.json.

`bertd data prepare` runs this while it tokenizes: a process of its own, in which transformers is kept from importing
torch. Tokenizers do not need it, and it takes more than half of the time.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bertd.program import run_main
from bertd.tokenizer.stock import require_stock_ids


def main() -> int:
    """Return 0 if it does; otherwise print one line on standard error and return the error's exit status."""
    # As if it were not installed, for import and for those who look whether it is there.
    sys.modules.update({"torch": None})  # type: ignore[dict-item]  # what the import system reads
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    return run_main(lambda: require_stock_ids(Path(sys.argv[1])), name="")


if __name__ == "__main__":
    sys.exit(main())
