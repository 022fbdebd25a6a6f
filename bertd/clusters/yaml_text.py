"""Print YAML that a person reads: keys in their order, texts of several lines as blocks. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import yaml  # type: ignore[import-untyped]  # PyYAML has no types

Tree: TypeAlias = "dict[str, Tree] | list[Tree] | str | int | bool"
_WIDTH = 160


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]  # it has no types
    """Without the anchors of objects that occur twice."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def format_yaml(documents: Sequence[dict[str, Tree]]) -> str:
    """The documents, one after the other."""
    text: str = yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, width=_WIDTH)
    return text
