"""A table before it takes the form of a medium: the console's or Markdown's."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Sheet:
    """A table; the first column names the rows."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]


def sheet_table(sheet: Sheet) -> Table:
    """For a rich console."""
    # As Text: brackets in a plain str would be taken for markup.
    title, note = Text(sheet.title, style="bold"), Text(sheet.note)
    table = Table(title=title, caption=note, title_justify="left", caption_justify="left")
    for number, column in enumerate(sheet.columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in sheet.rows:
        table.add_row(*map(Text, row))
    return table


def sheets_markdown(sheets: Sequence[Sheet]) -> str:
    """Markdown tables, one after the other."""
    parts = []
    for sheet in sheets:
        rule = ("---", *("---:" for _ in sheet.columns[1:]))
        lines = ["| " + " | ".join(row) + " |" for row in (sheet.columns, rule, *sheet.rows)]
        parts.append("\n".join([f"### {sheet.title}", "", *lines, "", sheet.note]))
    return "\n\n".join(parts) + "\n"
