"""A model card as GitHub-flavoured Markdown: text from data is shown, never obeyed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from visionpipe.reports.card_blocks import Block, Bullets, Code, Facts, Section, Table, Text

_MARKS = re.compile(r"([\\`*_\[\]|~$])")
_LINE_START = re.compile(r"^([#+=-]+|\d+[.)])(?=\s|$)")


def escaped(text: object) -> str:
    r"""Return text on one line with all that Markdown or HTML would act on made harmless.

    >>> escaped("<b>a|b</b>\n# c_d"), escaped("1. [x](javascript:alert(1))")
    ('&lt;b>a\\|b&lt;/b> # c\\_d', '1\\. \\[x\\](javascript:alert(1))')
    """
    line = " ".join(str(text).encode("utf-8", "replace").decode("utf-8").split())
    line = re.sub("^>", "&gt;", line.replace("&", "&amp;").replace("<", "&lt;"))
    line = _MARKS.sub(r"\\\1", line)
    # a bare address would become a link
    line = re.sub(r"(?i)\b(https?|ftp|mailto|www)([:.])", r"\1<!-- -->\2", line)
    return _LINE_START.sub(_kept_from_starting, line)


def _kept_from_starting(found: re.Match[str]) -> str:
    """Keep a line from starting a heading, a list or a quotation."""
    return f"{found[1][:-1]}\\{found[1][-1]}"


def markdown_of(
    *, title: str, written_on: str | None, why: str, tiles: Mapping[str, str], sections: Iterable[Section]
) -> str:
    """Return the whole card; arguments as the template of the HTML page takes them."""
    written = [f"Written on {escaped(written_on)}."] if written_on else []
    lines = [
        f"# Model card: {escaped(title)}",
        escaped(why),
        *written,
        *_table(list(tiles), [list(tiles.values())]),
    ]
    for section in sections:
        lines.append(f"## {escaped(section.title)}")
        for block in section.blocks:
            lines += _block(block)
    return "\n\n".join(lines) + "\n"


def _block(block: Block) -> list[str]:
    if isinstance(block, Text):
        return [f"**{escaped(block.text)}**" if block.missing else escaped(block.text)]
    if isinstance(block, Table):
        rows = [[cell.text for cell in row] for row in block.rows]
        return _table(block.head, [*rows, *([[cell.text for cell in block.foot]] if block.foot else [])])
    title = [f"### {escaped(block.title)}"] if block.title else []
    if isinstance(block, Bullets):
        return [*title, "\n".join(f"- {escaped(item)}" for item in block.items)]
    if isinstance(block, Facts):
        return [
            *title,
            "\n".join(f"- {escaped(name)}: {escaped(text)}" for name, text in block.values.items()),
        ]
    assert isinstance(block, Code)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", block.text)), default=0))
    return [*title, f"{fence}sh\n{block.text}\n{fence}"]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    texts = [[cell if cell == "---" else escaped(cell) for cell in line] for line in lines]
    return ["\n".join(f"| {' | '.join(line)} |" for line in texts)]
