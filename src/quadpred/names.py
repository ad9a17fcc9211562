r"""File names as text: names that are not UTF-8 get a reversible form.

A byte that is not UTF-8 is written as `\xNN`, for instance `caf\xe9.mp3`. Where a name holds such a
sequence itself, its backslash is written as `\x5c`. Every other name stays as it is.
"""

import os
import re

__all__ = ["escape_name", "unescape_name"]

_AMBIGUOUS = re.compile(r"\\(?=x(?:[89a-f][0-9a-f]|5c))")
_ESCAPED = re.compile(rb"\\x([89a-f][0-9a-f]|5c)")


def escape_name(name: str) -> str:
    r"""Return a file name as valid Unicode.

    >>> escape_name(os.fsdecode(b"caf\xe9.mp3"))
    'caf\\xe9.mp3'
    """
    safe = _AMBIGUOUS.sub(r"\\x5c", name)
    return os.fsencode(safe).decode("utf-8", "backslashreplace")


def unescape_name(text: str) -> str:
    r"""Return the file name that `escape_name` made a text of.

    >>> os.fsencode(unescape_name(r"caf\xe9.mp3"))
    b'caf\xe9.mp3'
    """
    data = text.encode("utf-8", "surrogateescape")
    return os.fsdecode(_ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), data))
