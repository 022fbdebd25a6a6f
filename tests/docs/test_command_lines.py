"""Every command line in the documentation is one that the programs accept."""

from __future__ import annotations

import pytest

from tests.docs.command_lines import command_lines, lines_of, what_is_wrong


def test_every_command_line_is_accepted() -> None:
    lines = [*command_lines()]
    assert len(lines) > 200
    refused = [
        f"{line.document}:{line.line}: {' '.join(line.words)}: {why}" for line in lines if (why := what_is_wrong(line))
    ]
    assert refused == []


@pytest.mark.parametrize(
    "text",
    [
        "    bertd plan fast --bugdet 24h",
        "    bertd plna fast",
        "say `bertd logs 7 --folow`",
        "```sh\nbertd data prepare x --vocab v --ouut y\n```",
        "    bert-tui --demoo",
        "    bertd pause 7 --hottt",
        "    bertd plan fast \\\n        --bugdet 24h",
    ],
)
def test_a_command_line_that_decayed_is_found(text: str) -> None:
    (line,) = lines_of(text, name="a page")
    assert what_is_wrong(line)


def test_what_is_not_a_command_is_left() -> None:
    assert [*lines_of("bertd is a daemon\n\n    echo bertd\n    x = bertd.records", name="a page")] == []
