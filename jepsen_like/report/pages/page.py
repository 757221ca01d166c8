"""The frame of a page, and pieces of HTML that pages share; text is escaped where it enters."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

STYLE = Path(__file__).with_name("page.css")


def page(title: str, parts: Iterable[str]) -> str:
    """A whole document that needs nothing beside it. `parts` are HTML."""
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{escape(title)}</title>\n'
        f"<style>\n{STYLE.read_text()}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def chip(outcome: str, text: str = "") -> str:
    """An outcome as a coloured word."""
    return f'<span class="chip {outcome}">{escape(text or outcome)}</span>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: int = 0) -> str:
    """Cells are HTML; the last `numbers` columns are set to the right."""
    first = len(head) - numbers
    css = ["" if number < first else ' class="number"' for number in range(len(head))]
    heads = "".join(f"<th{kind}>{escape(text)}</th>" for kind, text in zip(css, head, strict=True))
    lines = "".join(
        f"<tr>{''.join(f'<td{kind}>{cell}</td>' for kind, cell in zip(css, row, strict=True))}</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>"


def figures(pairs: Iterable[tuple[str, str]]) -> str:
    """Numbers in large, and what each is."""
    boxes = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for value, name in pairs)
    return f'<div class="figures">{boxes}</div>'


def legend(keys: Iterable[tuple[str, str]]) -> str:
    """CSS classes of colours, and what they stand for."""
    found = "".join(f'<i class="key {css}"></i>{escape(text)}' for css, text in keys)
    return f'<span class="legend">{found}</span>'


def section(title: str, about: str, content: str, keys: str = "") -> str:
    """A plot or a table under its heading."""
    return f"<h2>{keys}{escape(title)} <small>{escape(about)}</small></h2>{content}"


def listed(problems: Sequence[str]) -> str:
    """What went wrong, so that nobody overlooks it; nothing when nothing did."""
    lines = "".join(f"<li>{escape(each)}</li>" for each in problems)
    return f'<ul class="problems">{lines}</ul>' if problems else ""


def link(target: str, text: str) -> str:
    """To a file beside the page."""
    return f'<a href="{escape(target)}">{escape(text)}</a>'
