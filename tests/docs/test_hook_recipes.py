"""The programs in docs/hooks.md, run as a hook runs them, with stand-ins for what shows, mails and posts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.command_lines import ROOT
from tests.waiting import PATIENCE_S

PAGE = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
TEXT = 'job 7 bert-base is failed: it\'s "full" of $HOME; `bertd gc`\nGrüße'


def program_of(section: str) -> str:
    """The first shell script below a heading of the page."""
    below = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    script = re.search(r"```sh\n(#!/bin/sh\n.*?)```", below, re.DOTALL)
    assert script is not None, section
    return script[1]


def deliver(section: str, folder: Path, *arguments: str, tool: str, exit_status: int = 0) -> tuple[int, list[str], str]:
    """Run the section's program on an event.

    Returns:
        Its exit status, the arguments of the stand-in for `tool`, and what that read.
    """
    stand_in, program = folder / tool, folder / "program"
    stand_in.write_text(
        f"#!/bin/sh\nprintf '%s\\0' \"$@\" > {folder}/arguments\ncat > {folder}/input\nexit {exit_status}\n"
    )
    program.write_text(program_of(section).replace("/etc/bertd/chat-url", f"{folder}/chat-url"))
    (folder / "chat-url").write_text("https://chat.example.org/hook")
    for file in (stand_in, program):
        file.chmod(0o755)
    (folder / "python3").symlink_to(sys.executable)
    event = {"format": 1, "hook": "mail", "event": "failed", "text": TEXT, "job": 7, "run": "7-bert-base", "data": {}}
    ended = subprocess.run(
        [str(program), *arguments],
        input=json.dumps(event).encode(),
        env={"PATH": f"{folder}:/usr/bin:/bin", "BERTD_EVENT": "failed", "BERTD_RUN": "7-bert-base", "BERTD_JOB": "7"},
        cwd="/",
        timeout=PATIENCE_S,
        check=False,
    )
    given = (folder / "arguments").read_text().split("\0")[:-1]
    return ended.returncode, given, (folder / "input").read_text()


def test_the_desktop_shows_the_event(tmp_path: Path) -> None:
    status, arguments, _ = deliver("Notification on the desktop", tmp_path, tool="notify-send")
    assert (status, arguments) == (0, ["bertd: failed", TEXT])


def test_the_mail_has_address_subject_and_text(tmp_path: Path) -> None:
    status, arguments, mail = deliver("Mail", tmp_path, "ada@example.org", tool="msmtp")
    assert (status, arguments) == (0, ["--file=/etc/bertd/msmtprc", "--", "ada@example.org"])
    assert mail == f"To: ada@example.org\nSubject: bertd: failed 7-bert-base\n\n{TEXT}\n"


def test_the_chat_gets_its_form(tmp_path: Path) -> None:
    status, arguments, body = deliver("A chat", tmp_path, tool="curl")
    assert status == 0 and arguments[-1] == "https://chat.example.org/hook"
    assert json.loads(body) == {"content": TEXT}


@pytest.mark.parametrize(
    ("section", "tool"), [("Notification on the desktop", "notify-send"), ("Mail", "msmtp"), ("A chat", "curl")]
)
def test_what_was_not_sent_is_not_a_delivery(tmp_path: Path, section: str, tool: str) -> None:
    assert deliver(section, tmp_path, "ada@example.org", tool=tool, exit_status=69)[0] == 69


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
@pytest.mark.parametrize("section", ["Notification on the desktop", "Mail", "A chat"])
def test_the_programs_have_no_fault_that_shellcheck_knows(tmp_path: Path, section: str) -> None:
    program = tmp_path / "program"
    program.write_text(program_of(section))
    subprocess.run(["shellcheck", str(program)], check=True)
