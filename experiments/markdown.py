"""Tables in Markdown, and their places between the markers of a page."""

from collections.abc import Iterable, Sequence

__all__ = ["replace_block", "table"]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table.

    >>> table(["set", "clips"], [["film", "233"]])
    ['| set | clips |', '| --- | --- |', '| film | 233 |']
    """
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]


def replace_block(text: str, name: str, lines: Sequence[str]) -> str:
    """Replace what stands between the markers of a table; without markers, return the text.

    Raises:
        ValueError: the first marker has no second one.
    """
    start, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, found, rest = text.partition(start)
    if not found:
        return text
    _, closed, after = rest.partition(end)
    if not closed:
        raise ValueError(f"<!-- {name} -->: no <!-- end of {name} --> follows")
    return before + start + "\n" + "\n".join(lines) + "\n\n" + end + after
