"""Write a report as one HTML file: no script, no font, no picture from elsewhere; light, dark, narrow and on paper."""

from __future__ import annotations

from html import escape
from importlib.resources import files

from bertd.cli.report.document import Bar, Block, Chart, Code, Paragraph, Report, Section, Table
from bertd.cli.report.svg_chart import color_class, curve_class, draw_chart


def write_html(report: Report) -> str:
    """The whole page."""
    sections = report.filled_sections()
    links = "".join(f'<li><a href="#s{number}">{escape(each.title)}</a></li>' for number, each in enumerate(sections))
    body = "\n".join(_section(section, number=number) for number, section in enumerate(sections))
    style = (files("bertd.cli.report") / "report.css").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(report.title)}</title>
<style>{style}</style>
</head>
<body>
<header><h1>{escape(report.title)}</h1><p>{escape(report.subtitle)}</p></header>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<main>
{body}
</main>
</body>
</html>
"""


def _section(section: Section, *, number: int) -> str:
    blocks = "\n".join(_block(block, id_=f"s{number}b{place}") for place, block in enumerate(section.blocks))
    return f'<section id="s{number}"><h2>{escape(section.title)}</h2>\n{blocks}\n</section>'


def _block(block: Block, *, id_: str) -> str:
    match block:
        case Paragraph():
            return f"<p>{escape(block.text)}</p>"
        case Code():
            return f"<figure><figcaption>{escape(block.caption)}</figcaption><pre>{escape(block.text)}</pre></figure>"
        case Table():
            return _table(block)
        case Bar():
            return _bar(block)
        case Chart():
            return _chart(block, id_=id_)


def _table(table: Table) -> str:
    def kind(column: int) -> str:
        return ' class="n"' if column in table.numeric else ""

    head = "".join(f'<th scope="col"{kind(column)}>{escape(text)}</th>' for column, text in enumerate(table.headings))
    rows = []
    for first, *rest in table.rows:
        cells = "".join(f"<td{kind(column)}>{escape(text)}</td>" for column, text in enumerate(rest, start=1))
        rows.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    return (
        f'<div class="wide"><table><caption>{escape(table.caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _bar(bar: Bar) -> str:
    shown = [part for part in bar.parts if part[1] > 0]
    cells = "".join(
        f'<i class="{color_class(number)}" style="flex-grow:{share:.5f}"></i>'
        for number, (_, share, _) in enumerate(shown)
    )
    keys = "".join(
        f'<li><i class="{color_class(number)}"></i>{escape(name)}</li>' for number, (name, _, _) in enumerate(shown)
    )
    label = f"{bar.title}; the table below has the numbers"
    return f'<div class="bar" role="img" aria-label="{escape(label)}">{cells}</div><ul class="keys">{keys}</ul>'


def _chart(chart: Chart, *, id_: str) -> str:
    drawn = draw_chart(chart, id_=id_)
    if not drawn:
        return ""
    keys = "".join(
        f'<li><svg viewBox="0 0 26 8" aria-hidden="true"><path class="curve {curve_class(chart, number)}" d="M1 4H25"/>'
        f"</svg>{escape(series.name)}</li>"
        for number, series in enumerate(chart.series)
    )
    marks = "".join(f"<li>{escape(mark.text)}</li>" for mark in chart.marks)
    events = f'<ol class="marks">{marks}</ol>' if marks else ""
    return (
        f'<figure class="chart"><figcaption>{escape(chart.title)}</figcaption>{drawn}'
        f'<ul class="keys">{keys}</ul>{events}</figure>'
    )
