"""docs/recovering.md has a row for every exit status, class of failure and code of an alert in the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from bertd.cli import exit_codes
from bertd.records.states import ExitClass
from bertd.run.machine.checks import gpu_checks, gpu_findings, machine_checks
from bertd.train import check_torch
from tests.docs.command_lines import ROOT

PAGE = (ROOT / "docs" / "recovering.md").read_text(encoding="utf-8")
_FIRST_CELLS = re.findall(r"^\| ([^|]+) \|", PAGE, re.MULTILINE)
_RAISES_ALERTS = ("train", "glue", "daemon", "jobs", "run")
_WARNING = re.compile(r"^[a-z][a-z0-9]*(_[a-z0-9]+)+$")


def _words(cells: list[str]) -> set[str]:
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def _codes() -> Iterator[tuple[str, str]]:
    """Each code with its file: of calls with `code=`, of `warn(...)`, of lists and tables of warnings."""
    for package in _RAISES_ALERTS:
        for path in (ROOT / "bertd" / package).rglob("*.py"):
            if path.parent.name == "plan":
                # What `bertd plan` says: no alert.
                continue
            text = path.read_text(encoding="utf-8")
            for node in ast.walk(ast.parse(text)):
                for code in _codes_of(node):
                    yield code, str(path.relative_to(ROOT))


def _codes_of(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Call(func=function, args=args, keywords=keywords):
            name = getattr(function, "attr", getattr(function, "id", ""))
            if name in ("alert", "AlertRecord", "raise_for_holders", "raise_for", "_report_finding"):
                yield from (each.value.value for each in keywords if each.arg == "code" and _is_text(each.value))  # type: ignore[attr-defined]  # a text
            if name == "warn" and args and _is_text(args[0]):
                yield args[0].value  # type: ignore[attr-defined]  # a text
        case ast.FunctionDef(returns=ast.expr() as returns) if "warnings" in node.name or node.name.startswith("warn"):
            if ast.unparse(returns) in ("dict[str, str]", "list[tuple[str, str]]"):
                yield from _texts_of_warnings(node)
        case ast.Assign(targets=[ast.Name(id="code")], value=ast.IfExp(body=body, orelse=other)):
            yield from (str(each.value) for each in (body, other) if isinstance(each, ast.Constant))
        case ast.Assign(targets=[ast.Name(id="code")], value=ast.Constant(value=str() as code)):
            yield code
        case ast.Tuple(elts=[ast.Constant(value=str() as code), ast.JoinedStr() | ast.Name(id="message")]):
            if _WARNING.match(code):
                yield code


def _texts_of_warnings(function: ast.FunctionDef) -> Iterator[str]:
    for node in ast.walk(function):
        match node:
            case ast.Dict(keys=keys):
                yield from (key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str))
            case ast.Subscript(value=ast.Name(id="warnings"), slice=ast.Constant(value=str() as code)):
                yield code


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_every_exit_status_has_its_row() -> None:
    assert {int(cell) for cell in _FIRST_CELLS if cell.isdecimal()} == set(exit_codes.MEANINGS)


def test_every_class_of_a_failure_has_its_row() -> None:
    assert {*ExitClass} <= {*_FIRST_CELLS}


def test_every_code_of_an_alert_has_its_row() -> None:
    found = dict(_codes())
    assert {"loss_spike", "disk_low", "compile_failed", "dev_held_out", "xid", "unknown_gpu"} <= set(found)
    missing = {code: place for code, place in found.items() if code not in _words(_FIRST_CELLS)}
    assert missing == {}


def test_no_row_is_of_a_code_that_is_gone() -> None:
    checks = "".join(
        ast.unparse(ast.parse(_source(module))) for module in (gpu_checks, gpu_findings, machine_checks, check_torch)
    )
    of_checks = {name.lower().replace(" ", "_") for name in re.findall(r"check='([^']+)'", checks)}
    assert _words(_FIRST_CELLS) - set(dict(_codes())) <= of_checks


def _source(module: object) -> str:
    return (ROOT / str(module.__name__).replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")  # type: ignore[attr-defined]  # a module
