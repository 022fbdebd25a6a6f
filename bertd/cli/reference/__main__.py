"""`python -m bertd.cli.reference FOLDER`: write the generated pages there."""

from __future__ import annotations

import sys
from pathlib import Path

from bertd.cli.reference.commands_page import commands_page
from bertd.cli.reference.recipe_page import recipe_page
from bertd.program import run_main

PAGES = {"recipe.md": recipe_page, "commands.md": commands_page}


def main() -> None:
    """Write each page into the folder that the argument names."""
    for name, page in PAGES.items():
        (Path(sys.argv[1]) / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(run_main(main))
