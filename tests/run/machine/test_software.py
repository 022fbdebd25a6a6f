"""bertd.run.machine.software."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

import bertd
from bertd.records import Software
from bertd.run.machine import software
from bertd.run.machine.software import InstalledSoftware, describe_changes, read_software

BASE = Software(
    bertd="0.2.0",
    source_sha256="a",
    python="3.11.2",
    packages={"bertd": "0.2.0", "torch": "2.13.0", "zstandard": "0.23.0"},
    variables={"NCCL_DEBUG": "INFO"},
)


def changed(**update: object) -> list[str]:
    return describe_changes(BASE, BASE.model_copy(update=update))


def test_what_is_installed_is_read_without_secrets() -> None:
    found = read_software(
        {"NCCL_DEBUG": "INFO", "HF_TOKEN": "secret", "HOME": "/root", "CUDA_VISIBLE_DEVICES": "GPU-1"}
    )

    assert found.bertd == bertd.__version__
    assert found.variables == {"NCCL_DEBUG": "INFO"}
    assert found.packages["pydantic"]
    assert len(found.source_sha256) == 64
    assert found.digest == Software.model_validate_json(found.model_dump_json()).digest


def test_equal_software_has_no_difference() -> None:
    assert describe_changes(BASE, BASE) == []


@pytest.mark.parametrize(
    ("update", "text"),
    [
        ({"bertd": "0.3.0", "source_sha256": "b"}, "bertd 0.2.0 is now 0.3.0"),
        ({"source_sha256": "b"}, "the source of bertd was changed"),
        ({"python": "3.12.1"}, "Python 3.11.2 is now 3.12.1"),
        ({"packages": {**BASE.packages, "torch": "2.14.0"}}, "torch 2.13.0 is now 2.14.0"),
        ({"packages": {"torch": "2.13.0"}}, "zstandard 0.23.0 is gone"),
        ({"packages": {**BASE.packages, "apex": "0.1"}}, "apex 0.1 is new"),
        ({"variables": {"NCCL_DEBUG": "WARN"}}, "the environment has another NCCL_DEBUG"),
        ({"variables": {}}, "the environment has another NCCL_DEBUG"),
    ],
)
def test_each_difference_is_named(update: dict[str, object], text: str) -> None:
    assert changed(**update) == [text]


def test_the_important_packages_come_first_and_many_are_counted() -> None:
    packages = {f"p{number}": "1" for number in range(20)} | {"torch": "2.14.0"}

    found = changed(packages=packages)

    assert found[0] == "torch 2.13.0 is now 2.14.0"
    assert len(found) == 9
    assert found[-1].endswith("more packages")


def test_files_are_looked_at_again_after_a_while_and_read_if_they_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    now, stamps, read = [0.0], [("a", 1)], list[int]()
    monkeypatch.setattr(software, "_stamps", lambda: iter(stamps))

    def read_once(variables: Mapping[str, str]) -> Software:
        read.append(1)
        return BASE

    monkeypatch.setattr(software, "read_software", read_once)
    installed = InstalledSoftware({}, clock=lambda: now[0])

    def reads_after(seconds: float) -> int:
        now[0] += seconds
        installed.read()
        return len(read)

    assert [reads_after(0.0), reads_after(1.0), reads_after(5.0)] == [1, 1, 1]
    stamps[:] = [("a", 2)]
    assert [reads_after(1.0), reads_after(2.0), reads_after(5.0)] == [1, 2, 2]
