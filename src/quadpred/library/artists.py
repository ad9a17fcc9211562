"""Artists of music files, and playlists with a limited number of songs per artist."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache

import mutagen

from quadpred.library.summary import SummaryRow

__all__ = ["artist_of", "drop_surplus", "limit_per_artist"]


# In ID3, MP4, ASF, and in both Vorbis comments and APEv2.
_KEYS = ("TPE1", "\xa9ART", "Author", "artist")


@cache
def artist_of(file: str) -> str:
    """Return the first artist in a file's tags, in lower case.

    Empty if there is none, or if the file or its tags cannot be read.
    """
    try:
        tags = mutagen.File(file)
    except Exception:  # a damaged file raises errors of struct, of indexing and more
        return ""
    for key in _KEYS if tags else ():
        # A key that the format cannot have, or a value without text.
        with suppress(KeyError, ValueError, IndexError, TypeError):
            return str(tags[key][0]).casefold()
    return ""


def limit_per_artist(
    choose: Callable[[Sequence[SummaryRow]], list[SummaryRow]],
    songs: Sequence[SummaryRow],
    limit: int,
) -> list[SummaryRow]:
    """Choose songs so that no artist has more than `limit`; songs without artist are not limited.

    Args:
        choose: chooses a playlist from songs.
        songs: a library.
        limit: at least 1.

    Raises:
        SummaryError: of `choose`, when what is left is not enough.
    """
    chosen = choose(songs)
    while surplus := drop_surplus(chosen, limit):
        songs = [song for song in songs if song.file not in surplus]
        chosen = choose(songs)
    return chosen


def drop_surplus(songs: Sequence[SummaryRow], limit: int) -> set[str]:
    """Return the files of songs beyond the first `limit` of their artist."""
    counts: Counter[str] = Counter()
    surplus = set()
    for song in songs:
        artist = artist_of(song.file)
        counts[artist] += 1
        if artist and counts[artist] > limit:
            surplus.add(song.file)
    return surplus
