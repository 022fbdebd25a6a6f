"""A proof as Markdown. Pure: what is not in the results is not in the text."""

from __future__ import annotations

from bertd.prove.results import Check, Figure, Proof, StepResult, Verdict

_MARKS = {Verdict.PASS: "pass", Verdict.FAIL: "**FAIL**", Verdict.SKIPPED: "skipped"}
_MANY = 1000


def render_proof(proof: Proof) -> str:
    """The text of proof.md."""
    lines = [
        f"# Proof of bertd {proof.bertd} on {proof.device_name or proof.device}",
        "",
        f"{proof.began}, commit {proof.commit or 'unknown'}, {proof.minutes:g} minutes at most"
        f"{', --tiny: nothing here is a speed' if proof.is_tiny else ''}. {_describe_state(proof)}",
        "",
        "| step | | seconds | |",
        "|---|---|---|---|",
        *(
            f"| {step.title} | {_MARKS[step.verdict]} | {step.seconds:.0f} | {_cell(step.reason)} |"
            for step in proof.steps
        ),
        "",
        "## Goals",
        "",
        "| goal | | here | |",
        "|---|---|---|---|",
    ]
    for goal in proof.goals:
        here = _MARKS[goal.verdict]
        if goal.value is not None:
            here = f"{format_value(goal.value)} {goal.unit}: {here}"
        lines.append(f"| {goal.name} | {goal.goal} | {here} | {_cell(goal.detail)} |")
    for step in proof.steps:
        lines += ["", *_render_step(step)]
    return "\n".join(lines) + "\n"


def _describe_state(proof: Proof) -> str:
    if not proof.is_complete:
        return "**Not complete**: what follows is what was done so far."
    num_failed = sum(step.verdict is Verdict.FAIL for step in proof.steps)
    return f"{num_failed} of {len(proof.steps)} steps failed." if num_failed else "No step failed."


def _render_step(step: StepResult) -> list[str]:
    findings = step.findings
    lines = [f"## {step.title}"]
    if step.verdict is not Verdict.PASS:
        lines += ["", f"{_MARKS[step.verdict]}: {step.reason}"]
    if findings.checks:
        lines += ["", "| check | | |", "|---|---|---|", *map(_check_row, findings.checks)]
    if findings.figures:
        lines += ["", "| figure | | |", "|---|---|---|", *map(_figure_row, findings.figures)]
    if findings.facts:
        lines += ["", "| | |", "|---|---|", *(f"| {name} | {_cell(text)} |" for name, text in findings.facts.items())]
    if step.log_tail:
        lines += ["", "The end of its log:", "", *(f"    {line}" for line in step.log_tail)]
    return lines


def _check_row(check: Check) -> str:
    return f"| {_cell(check.name)} | {_MARKS[check.verdict]} | {_cell(check.detail)} |"


def _figure_row(figure: Figure) -> str:
    return f"| {_cell(figure.name)} | {format_value(figure.value)} {figure.unit} | {_cell(figure.detail)} |"


def format_value(value: float) -> str:
    """Four digits, thousands apart."""
    if abs(value) >= _MANY:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def _cell(text: str) -> str:
    """One line that ends no cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
