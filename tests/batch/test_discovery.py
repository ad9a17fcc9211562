import errno
import os
import sys

import pytest

from quadpred.audio import BROKEN_LINK, NOT_REGULAR
from quadpred.batch import BatchError
from quadpred.batch.discovery import Recording, Shard, discover, natural_key
from quadpred.files import escape_name


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


def test_digits_are_in_the_order_of_their_values_however_many():
    many = "9" * 5000
    ordered = ["a0", "a01", "a1", "a2", "a010", "a10", f"a{many}", f"a1{many}", "b"]
    assert sorted(reversed(ordered), key=natural_key) == ordered


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
    os.symlink("z", "m/a_link")
    os.symlink("a/real.mp3", "m/again.mp3")
    os.symlink("../elsewhere", "m/far")
    os.symlink("../single.mp3", "m/one.mp3")
    touch("cover.jpg")
    os.symlink("../cover.jpg", "m/cover.jpg")
    os.symlink("../m", "elsewhere/back")
    expected = ["a/real.mp3", "far/far.mp3", "one.mp3", "z/other.mp3"]
    assert names("m") == expected


def test_broken_links_are_errors():
    touch("m/a.mp3")
    os.symlink("/not/mounted/Albums", "m/Albums")
    os.symlink("loop.mp3", "m/loop.mp3")
    os.symlink("gone", "m/.hidden")
    found = discover(["m"])
    assert [recording.name for recording in found.recordings] == ["a.mp3"]
    reasons = {recording.name: reason for recording, reason in found.errors.items()}
    assert reasons == dict.fromkeys(["Albums", "loop.mp3"], BROKEN_LINK)


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
    assert escape_name(name) == "caf\\xe9\nline.mp3"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8"])
@pytest.mark.parametrize("name", ["p.m3u", "p.m3u8"])
def test_playlists_of_every_encoding(folder, encoding, name):
    touch("m/é.mp3", "b.mp3")
    (folder / name).write_bytes("#EXTM3U\r\n#EXTINF:1,Ä\r\nm/é.mp3\r\nb.mp3\r\n".encode(encoding))
    found = discover([name])
    assert [each.name for each in found.recordings] == ["b.mp3", "m/é.mp3"]
    assert not found.errors
    assert not found.notes


def test_a_playlist_in_latin_1_gives_a_note(folder):
    touch("é.mp3")
    (folder / "p.m3u").write_bytes("#Künstler\né.mp3\n".encode("latin-1"))
    found = discover(["p.m3u"])
    assert [each.name for each in found.recordings] == ["é.mp3"]
    assert found.notes == ["p.m3u: not UTF-8; read as Latin-1"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs names that are not UTF-8")
def test_a_playlist_may_name_files_that_are_not_utf_8(folder):
    name = os.fsdecode(b"caf\xe9.mp3")
    touch(name)
    (folder / "p.m3u").write_bytes(os.fsencode(name))
    assert names("p.m3u") == [name]


def test_addresses_of_files_escaped_or_not(folder):
    touch("Müsic/a b.mp3", "100%.mp3", "c#1?.mp3", "d%20.mp3")
    root = folder.as_uri()
    lines = [
        f"file://{folder}/Müsic/a b.mp3",
        (folder / "100%.mp3").as_uri(),
        f"file://localhost{folder}/c#1?.mp3",
        f"FILE:{folder}/d%20.mp3",
        f"{root}/100%.mp3",
    ]
    (folder / "p.m3u8").write_text("\n".join(lines), "utf-8")
    found = discover(["p.m3u8"])
    assert not found.errors
    assert {os.path.relpath(each.path) for each in found.recordings} == {
        "Müsic/a b.mp3",
        "100%.mp3",
        "c#1?.mp3",
        "d%20.mp3",
    }


def test_entries_that_are_not_recordings(folder):
    touch("a.mp3")
    lines = ["http://127.0.0.1/a.mp3", r"C:\Music\a.mp3", "other.m3u", "file:///D:/a.mp3", "a.mp3"]
    (folder / "p.m3u8").write_text("\n".join(lines))
    found = discover(["p.m3u8"])
    assert [each.name for each in found.recordings] == ["a.mp3"]
    assert sorted(found.errors.values()) == [
        "is a Windows path; write the path on this machine",
        "is a Windows path; write the path on this machine",
        "is a playlist in a playlist; give it to the command itself",
        "is an address; download the file and give its path",
    ]
    given = {each.path for each in found.errors if each.name == each.path}
    assert given == {"http://127.0.0.1/a.mp3", r"C:\Music\a.mp3", "/D:/a.mp3"}


def test_a_missing_entry_names_the_playlist_and_the_line(folder):
    touch("a.mp3")
    (folder / "p.m3u8").write_text("#EXTM3U\nmissing.mp3\na.mp3\n")
    found = discover(["p.m3u8"])
    assert [each.name for each in found.recordings] == ["a.mp3"]
    assert [*found.errors.values()] == ["no such file; p.m3u8 lists it in line 2"]


@pytest.mark.parametrize("path", ["http://127.0.0.1/a b.mp3", "https://a.example/list.m3u8"])
def test_addresses_are_errors_wherever_they_are_given(path):
    touch("a.mp3")
    for paths, listed in ([path, "a.mp3"], b""), (["-"], f"{path}\na.mp3\n".encode()):
        found = discover(paths, listed)
        assert [each.name for each in found.recordings] == ["a.mp3"]
        reason = "is an address; download the file and give its path"
        assert found.errors == {Recording(path, path): reason}


def test_a_file_may_be_named_like_an_address():
    touch("http:/a.mp3")
    assert names("http://a.mp3", "http:/a.mp3") == ["http:/a.mp3"]


def test_a_playlist_with_backslashes(folder):
    touch("m/a.mp3")
    (folder / "p.m3u").write_text("m\\a.mp3\n")
    assert names("p.m3u") == ["m/a.mp3"]


@pytest.mark.parametrize("content", [b"\0\1\2binary\xff", "./a.mp3\n/\n".encode("utf-16-le")])
def test_a_playlist_that_is_not_text(folder, content):
    touch("a.mp3")
    (folder / "p.m3u8").write_bytes(content)
    found = discover(["p.m3u8"])
    assert found.recordings == []
    playlist = Recording("p.m3u8", os.path.abspath("p.m3u8"))
    assert found.errors == {playlist: "not a text file; save it as UTF-8"}


def test_a_stream_of_parts_is_not_a_playlist(folder):
    touch("a.ts")
    (folder / "p.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\na.ts\n")
    (reason,) = discover(["p.m3u8"]).errors.values()
    assert reason == "a stream of parts (HLS), not a list of recordings"


def test_a_list_may_be_a_playlist(folder):
    touch("Müsic/a b.mp3", "#1.mp3", "é.mp3", "#EXT.mp3")
    lines = ["#EXTM3U", "#EXTINF:1,A", (folder / "Müsic/a b.mp3").as_uri(), "#1.mp3", "#EXT.mp3"]
    found = discover(["-"], "\r\n".join([*lines, "é.mp3"]).encode("latin-1"))
    assert not found.errors
    assert {os.path.relpath(each.path) for each in found.recordings} == {
        "Müsic/a b.mp3",
        "#1.mp3",
        "#EXT.mp3",
        "é.mp3",
    }
    assert found.notes == ["-: not UTF-8; read as Latin-1"]


def test_a_list_in_utf_16():
    touch("wanted.mp3", "other.mp3")
    assert names("-", listed="wanted.mp3\r\n".encode("utf-16")) == ["wanted.mp3"]


def test_a_list_in_utf_16_without_its_mark_never_gives_folders():
    touch("wanted.mp3", "other.mp3")
    found = discover(["-"], "./wanted.mp3\n/\n".encode("utf-16-le"))
    assert found.recordings == []
    assert found.errors == {Recording("-", "-"): "not a text file; save it as UTF-8"}


def test_what_is_skipped_is_counted_in_one_line():
    touch("m/a.mp3", "m/b.webm", "m/cover.jpg", "m/notes.txt", "m/.hidden.mp3")
    touch("m/$RECYCLE.BIN/x.mp3", "m/@eaDir/y.mp3", "m/lost+found/z.mp3")
    found = discover(["m"])
    assert [each.name for each in found.recordings] == ["a.mp3", "b.webm"]
    assert found.notes == ["skipped 3 system folders, 1 hidden, 2 without an audio extension"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_in_a_folder_is_an_error():
    touch("m/a.mp3")
    os.mkfifo("m/pipe.mp3")
    found = discover(["m"])
    assert [each.name for each in found.recordings] == ["a.mp3"]
    pipe = Recording("pipe.mp3", os.path.abspath("m/pipe.mp3"))
    assert found.errors == {pipe: NOT_REGULAR}


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
    with pytest.raises(BatchError, match="write I/N, with I from 1 to N"):
        Shard.parse(text)
