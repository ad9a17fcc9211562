import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from quadpred.batch import BatchError
from quadpred.batch.discovery import WHOLE, Shard
from quadpred.batch.ledger import ROW, Ledger, Record, Seconds, stamp_of

ROW_VALUES = {name: {float: 0.5, str: "Q1", bool: True}[kind] for name, kind in ROW.items()}
RECORD = Record(
    "a.mp3",
    "ab" * 32,
    "cd" * 32,
    (1, 2, 3, 4),
    5.0,
    ROW_VALUES,
    {"json": (7, 8)},
    Seconds("seconds-1-of-1.f32", 0, 2, 1234),
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
    with ledger(tmp_path) as book:
        book.append([replace(RECORD, sha256="1"), replace(RECORD, sha256="2", time=6.0)])
    with ledger(tmp_path, Shard(2, 2)) as book:
        assert book.get("a.mp3").sha256 == "2"
        book.append([replace(RECORD, sha256="3", time=7.0)])
    with ledger(tmp_path) as book:
        assert book.get("a.mp3").sha256 == "3"


@pytest.mark.parametrize("shard", [WHOLE, Shard(2, 2)])
def test_a_clock_that_was_ahead_does_not_hide_later_records(tmp_path, shard):
    with ledger(tmp_path) as book:
        book.append([replace(RECORD, sha256="old", time=4e9)])
    with ledger(tmp_path, shard) as book:
        book.append([replace(RECORD, sha256="new", time=2e9)])
        assert book.get("a.mp3").sha256 == "new"
    with ledger(tmp_path) as book:
        assert book.get("a.mp3").sha256 == "new"


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


def with_checksum(**changes):
    """Return a line with values that no version of ours writes, and a checksum that is right."""
    strange = replace(RECORD, time=9.0)
    for name, value in changes.items():
        object.__setattr__(strange, name, value)
    return strange.line()[:-1]


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\0" * 50,
        b"{}",
        b"[1]",
        b'{"name": "a.mp3"}',
        b"\xff",
        with_checksum(time="9"),
        with_checksum(time=float("nan")),
        with_checksum(stamp=(1, 2, 3)),
        with_checksum(row={"duration": 1.5}),
        with_checksum(row={**ROW_VALUES, "duration": "long"}),
        with_checksum(row=None),
        with_checksum(outputs=[1]),
        with_checksum(outputs={"json": (7, -8)}),
        with_checksum(seconds=("/etc/passwd", 0, 1, 2)),
        with_checksum(seconds=("seconds-1-of-1.f32", -5, 1, 2)),
        with_checksum(seconds=5),
    ],
)
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


def test_a_flipped_bit_never_changes_a_value(tmp_path):
    with ledger(tmp_path) as book:
        book.append([RECORD, replace(RECORD, name="b.mp3")])
    whole = path(tmp_path).read_bytes()
    random = np.random.default_rng(0)
    for bit in random.choice(8 * len(whole), 400, replace=False).tolist():
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path(tmp_path).write_bytes(flipped)
        with ledger(tmp_path) as book:
            found = [book.get(name) for name in sorted(NAMES)]
        assert found != [RECORD, replace(RECORD, name="b.mp3")]
        assert found[0] in (None, RECORD)
        assert found[1] in (None, replace(RECORD, name="b.mp3"))


def test_per_second_rows(tmp_path):
    first, second = np.eye(2, dtype=np.float32), np.full((3, 2), 0.5, np.float32)
    with ledger(tmp_path) as book:
        one, two = (replace(RECORD, seconds=book.add_seconds(rows)) for rows in (first, second))
        book.append([one])
        assert np.array_equal(book.seconds(two), second)
    with (tmp_path / ".quadpred" / one.seconds.file).open("ab") as file:
        file.write(b"torn")
    with ledger(tmp_path) as book:
        assert np.array_equal(book.seconds(book.get("a.mp3")), first)
        three = replace(RECORD, seconds=book.add_seconds(second))
        assert np.array_equal(book.seconds(three), second)
        assert book.seconds(replace(RECORD, seconds=None)) is None


@pytest.mark.parametrize("damage", ["removed", "short", "altered"])
def test_damaged_per_second_rows_are_not_returned(tmp_path, damage):
    with ledger(tmp_path) as book:
        record = replace(RECORD, seconds=book.add_seconds(np.eye(2, dtype=np.float32)))
    file = tmp_path / ".quadpred" / record.seconds.file
    content = file.read_bytes()
    if damage == "removed":
        file.unlink()
    else:
        file.write_bytes(content[:-1] if damage == "short" else b"\1" + content[1:])
    with ledger(tmp_path) as book:
        assert book.seconds(record) is None


@pytest.mark.skipif(os.name != "posix", reason="open files cannot be removed elsewhere")
@pytest.mark.parametrize("replaced", [False, True])
def test_a_ledger_that_is_removed_ends_the_run(tmp_path, replaced):
    with ledger(tmp_path) as book:
        book.append([RECORD])
        shutil.rmtree(tmp_path / ".quadpred")
        if replaced:
            ledger(tmp_path).__exit__(None, None, None)
        with pytest.raises(BatchError, match=r"ledger-1-of-1\.jsonl: was removed or replaced"):
            book.append([RECORD])


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
