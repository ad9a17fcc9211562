"""Server-sent events, parsed as a browser does."""

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class ServerEvent(NamedTuple):
    """One event: its name, its JSON, and its id if it has one."""

    name: str
    data: dict
    id: str | None


def parse(text: str) -> list[ServerEvent]:
    """Parse a stream that has ended."""
    return list(parse_lines(text.split("\n")))


def parse_lines(lines: Iterable[str]) -> Iterator[ServerEvent]:
    """Parse a stream line by line; fields without data, such as `retry`, make no event."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        else:
            if "data" in fields:
                yield ServerEvent(fields["event"], json.loads(fields["data"]), fields.get("id"))
            fields = {}
