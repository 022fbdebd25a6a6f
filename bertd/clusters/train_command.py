"""The command by which every engine trains: `bertd train`, which continues the run in its folder. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bertd.run.recipe.schema import Recipe

JOIN_PORT = 29_400
"""At which further machines find the first one. Source: torchrun's default for its c10d rendezvous."""


@dataclass(frozen=True)
class ClusterRun:
    """A run that an engine is to start."""

    recipe: Recipe
    """Resolved, as it will be in the run's folder."""
    recipe_file: str
    """Its file, or its name, where the command is called."""
    folder: Path
    """Of the run, on a disk that survives the job."""
    overrides: Sequence[str] = field(default=())
    """What makes `recipe` of the file, as `section.key=value`."""

    def command(self, program: str = "bertd") -> list[str]:
        """The words of the command on the first machine."""
        words = [program, "train", self.recipe_file, "--folder", str(self.folder)]
        for override in self.overrides:
            words += ["--set", override]
        return words


def quote_words(words: Sequence[str], *, indent: str = "    ") -> str:
    """A command for a shell, an option to a line."""
    lines: list[str] = []
    for word in words:
        quoted = shlex.quote(word)
        if word.startswith("--") and lines:
            lines.append(f"{indent}{quoted}")
        elif lines:
            lines[-1] += f" {quoted}"
        else:
            lines.append(quoted)
    return " \\\n".join(lines)
