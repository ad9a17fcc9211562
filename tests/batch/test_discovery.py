import errno
import os
import sys

import pytest

from quadpred.batch import BatchError
from quadpred.batch.discovery import Recording, Shard, discover, natural_key
from quadpred.files import as_unicode


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names):
    for name in names:
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        open(name, "wb").close()


def names(*paths, **options):
    return [recording.name for recording in discover(paths, **options).recordings]


def test_folders_in_natural_order_with_what_is_audio():
    touch("m/b/segment_10.mp3", "m/b/segment_2.MP3", "m/b.wav", "m/b2/x.opus", "m/cover.jpg")
    touch("m/.hidden.mp3", "m/._b.wav", "m/.git/a.mp3", "m/list.m3u8")
    assert names("m") == ["b/segment_2.MP3", "b/segment_10.mp3", "b2/x.opus", "b.wav"]
    assert names("m/") == names("m")
    (first, *_) = discover(["m"]).recordings
    assert first.path == os.path.abspath("m/b/segment_2.MP3")


def test_names_of_several_folders_stay_apart():
    touch("a/x.mp3", "b/x.mp3", "x.mp3")
    assert names("a", "b/", "x.mp3") == ["a/x.mp3", "b/x.mp3", "x.mp3"]


def test_paths_that_lead_out_of_here_are_named_absolutely(folder):
    touch("a/x.mp3", "here/b/y.mp3")
    os.chdir("here")
    root = str(folder).lstrip("/")
    assert names("../a", "b") == sorted(["b/y.mp3", f"{root}/a/x.mp3"])
    assert names(str(folder / "a"), "b") == names("../a", "b")


def test_two_files_of_one_name_are_refused(folder):
    root = str(folder).lstrip("/")
    touch("x.mp3", f"{root}/x.mp3")
    with pytest.raises(BatchError, match="would write the same file"):
        names(str(folder / "x.mp3"), f"{root}/x.mp3")


def test_what_is_found_twice_counts_once():
    touch("m/rock/a.mp3")
    assert names("m/rock", "m", "m/rock/a.mp3", "m/../m") == ["m/rock/a.mp3"]


def test_links_neither_loop_nor_repeat():
    touch("m/a/real.mp3", "m/z/other.mp3", "elsewhere/far.mp3", "single.mp3")
    os.symlink("..", "m/a/loop")
    os.symlink("loop.mp3", "m/loop.mp3")
    os.symlink("z", "m/a_link")
    os.symlink("a/real.mp3", "m/again.mp3")
    os.symlink("../elsewhere", "m/far")
    os.symlink("../single.mp3", "m/one.mp3")
    os.symlink("../cover.jpg", "m/cover.jpg")
    os.symlink("../m", "elsewhere/back")
    expected = ["a/real.mp3", "far/far.mp3", "loop.mp3", "one.mp3", "z/other.mp3"]
    assert names("m") == expected


def test_a_link_that_is_given_gives_way_to_its_file():
    touch("m/real.mp3", "m/other.mp3")
    os.symlink("real.mp3", "m/again.mp3")
    os.symlink("m", "link")
    assert names("m/again.mp3", "m/real.mp3") == ["m/real.mp3"]
    assert names("link") == ["other.mp3", "real.mp3"]
    assert names("link", "m/real.mp3") == ["link/other.mp3", "m/real.mp3"]


def test_playlists(folder):
    touch("m/a 1.mp3", "m/é.mp3", "b.mp3", "c#.mp3")
    lines = ["#EXTM3U", "#EXTINF:1,A", "m/a 1.mp3", "", str(folder / "b.mp3"), "m/é.mp3"]
    lines.append((folder / "c#.mp3").as_uri())
    (folder / "p.m3u8").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    root = str(folder).lstrip("/")
    expected = ["m/a 1.mp3", "m/é.mp3", f"{root}/b.mp3", f"{root}/c#.mp3"]
    assert names("p.m3u8") == sorted(expected, key=natural_key)


def test_entries_of_a_playlist_are_relative_to_it(folder):
    touch("lists/x/a.mp3", "b.mp3")
    (folder / "lists/p.M3U").write_text("x/a.mp3\n../b.mp3\nx\n")
    assert names("lists/p.M3U") == ["b.mp3", "lists/x/a.mp3"]


def test_a_playlist_that_is_not_there_is_an_error():
    touch("a.mp3")
    found = discover(["none.m3u8", "a.mp3"])
    assert [recording.name for recording in found.recordings] == ["a.mp3"]
    missing = Recording("none.m3u8", os.path.abspath("none.m3u8"))
    assert found.errors == {missing: "No such file or directory"}


def test_a_list_of_lines():
    touch("m/a.mp3", "b.mp3")
    assert names("-", listed=b"m\r\nb.mp3\n\nmissing.mp3") == ["b.mp3", "m/a.mp3", "missing.mp3"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are not UTF-8")
def test_a_list_with_zero_bytes_takes_any_name():
    name = os.fsdecode(b"caf\xe9\nline.mp3")
    touch(name)
    assert names("-", listed=os.fsencode(name) + b"\0") == [name]
    assert as_unicode(name) == "caf\\xe9\nline.mp3"


def test_a_folder_that_cannot_be_read_is_an_error(monkeypatch):
    touch("m/a.mp3", "m/locked/b.mp3")
    scandir = os.scandir

    def locked(path):  # permissions would not stop the superuser
        if path == "m/locked":
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    found = discover(["m"])
    assert [recording.name for recording in found.recordings] == ["a.mp3"]
    assert found.errors == {Recording("locked", os.path.abspath("m/locked")): "Permission denied"}


def test_shards_share_everything_out_by_name_alone(tmp_path):
    everything = [f"m/{number}.mp3" for number in range(60)]
    touch(*everything)
    shares = [names("m", shard=Shard(index, 3)) for index in (1, 2, 3)]
    assert sorted(name for share in shares for name in share) == sorted(names("m"))
    assert all(len(share) > 5 for share in shares)
    os.rename("m", "moved")
    assert names("moved", shard=Shard(2, 3)) == shares[1]


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3", ""])
def test_shards_that_are_none(text):
    with pytest.raises(BatchError, match="must be I/N"):
        Shard.parse(text)
