import json
import os
from dataclasses import replace

import numpy as np
import pytest

from quadpred.batch import BatchError
from quadpred.batch.discovery import WHOLE, Shard
from quadpred.batch.ledger import Ledger, Record, stamp_of

RECORD = Record(
    "a.mp3", "ab" * 32, "cd" * 32, (1, 2, 3, 4), 5.0, {"duration": 1.5}, {"json": (7, 8)}
)
NAMES = {"a.mp3", "b.mp3"}


def ledger(folder, shard=WHOLE, names=NAMES, columns=2):
    return Ledger(folder, shard, names, columns)


def path(folder, shard=WHOLE):
    return folder / ".quadpred" / f"ledger{shard.suffix}.jsonl"


def test_records_are_read_back(tmp_path):
    with ledger(tmp_path) as book:
        assert book.get("a.mp3") is None
        book.append([RECORD, replace(RECORD, name="b.mp3")])
        assert book.get("a.mp3") == RECORD
    with ledger(tmp_path) as book:
        assert book.get("a.mp3") == RECORD
        assert book.get("b.mp3").name == "b.mp3"


def test_the_newest_record_counts_whichever_shard_wrote_it(tmp_path):
    newer, newest = replace(RECORD, time=6.0), replace(RECORD, time=7.0)
    with ledger(tmp_path) as book:
        book.append([newer, RECORD])
    with ledger(tmp_path, Shard(2, 2)) as book:
        assert book.get("a.mp3") == newer
        book.append([newest])
    with ledger(tmp_path) as book:
        assert book.get("a.mp3") == newest


@pytest.mark.parametrize("torn", [1, 30, -1])
def test_a_line_cut_short_is_no_record(tmp_path, torn):
    with ledger(tmp_path) as book:
        book.append([RECORD])
    line = replace(RECORD, name="b.mp3").line()
    with path(tmp_path).open("ab") as file:
        file.write(line[:torn])
    with ledger(tmp_path) as book:
        assert book.get("a.mp3") == RECORD
        assert book.get("b.mp3") is None
        book.append([replace(RECORD, name="b.mp3", time=9.0)])
    with ledger(tmp_path) as book:
        assert book.get("b.mp3").time == 9.0


@pytest.mark.parametrize("rubbish", [b"\0" * 50, b"{}", b"[1]", b'{"name": "a.mp3"}', b"\xff"])
def test_rubbish_is_passed_over(tmp_path, rubbish):
    with ledger(tmp_path) as book:
        book.append([RECORD])
    with path(tmp_path).open("ab") as file:
        file.write(rubbish + b"\n")
    with ledger(tmp_path) as book:
        assert book.get("a.mp3") == RECORD


def test_names_that_are_not_utf8(tmp_path):
    name = os.fsdecode(b"caf\xe9\n.mp3")
    with ledger(tmp_path, names={name}) as book:
        book.append([replace(RECORD, name=name)])
    json.loads(path(tmp_path).read_bytes().decode("ascii"))
    with ledger(tmp_path, names={name}) as book:
        assert book.get(name).name == name


def test_rows_a_second(tmp_path):
    first, second = np.eye(2, dtype=np.float32), np.full((3, 2), 0.5, np.float32)
    with ledger(tmp_path) as book:
        one, two = (replace(RECORD, seconds=book.add_seconds(rows)) for rows in (first, second))
        book.append([one])
        assert np.array_equal(book.seconds(two), second)
    with (tmp_path / ".quadpred" / one.seconds[0]).open("ab") as file:
        file.write(b"torn")
    with ledger(tmp_path) as book:
        assert np.array_equal(book.seconds(book.get("a.mp3")), first)
        three = replace(RECORD, seconds=book.add_seconds(second))
        assert np.array_equal(book.seconds(three), second)


def test_one_run_at_a_time(tmp_path):
    pytest.importorskip("fcntl")
    with ledger(tmp_path):
        with pytest.raises(BatchError, match="another run writes there"):
            ledger(tmp_path)
        with ledger(tmp_path, Shard(1, 2)):
            pass
    with ledger(tmp_path):
        pass


def test_a_stamp_sees_what_size_and_time_hide(tmp_path):
    file = tmp_path / "a"
    file.write_bytes(b"one")
    before, times = stamp_of(str(file)), file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = stamp_of(str(file))
    assert after[:2] == before[:2]
    assert after != before
