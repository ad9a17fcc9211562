import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quadpred.files import escape_name, unescape_name


@settings(deadline=None)
@given(st.binary(max_size=20).filter(lambda name: b"\0" not in name))
def test_names_come_back(name):
    text = escape_name(os.fsdecode(name))
    text.encode()  # valid Unicode
    assert os.fsencode(unescape_name(text)) == name


@pytest.mark.parametrize("name", [r"\xe9", r"\x5cxe9", r"a\x41", "é", r"\x", r"\\xff"])
def test_names_that_hold_escapes_come_back(name):
    assert unescape_name(escape_name(name)) == name
