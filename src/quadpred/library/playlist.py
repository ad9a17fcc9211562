"""Playlists of a predicted library: of one mood, or from one mood to another in small steps."""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quadpred.labels import signs_of
from quadpred.library.summary import Clip, LibraryError

__all__ = ["mood_playlist", "path_playlist", "to_m3u8"]

Array = NDArray[np.float64]

_STOPS = 80  # places along the way at which songs are looked for
_NEAREST = 5  # songs that are considered at each
# What players or shells would take for a comment, an option, a home or an address.
_UNSAFE = re.compile(r"[\s#~\-]|[^/]*:")


def mood_playlist(
    clips: Iterable[Clip], quadrant: str, *, seconds: float | None = None, uncertain: bool = False
) -> list[Clip]:
    """Choose the clips of a quadrant, those that the model is surest of first.

    Args:
        clips: a library.
        quadrant: Q1..Q4.
        seconds: the most that they may last together; what does not fit is passed over.
        uncertain: take clips whose mood is uncertain, too.

    Raises:
        LibraryError: there is none.
    """
    chosen = _playable(clips, uncertain=uncertain)
    chosen = [clip for clip in chosen if clip.quadrant == quadrant]
    chosen.sort(key=lambda clip: (-clip.confidence, clip.file))
    fitting, left = [], np.inf if seconds is None else seconds
    for clip in chosen:
        if clip.duration <= left:
            fitting.append(clip)
            left -= clip.duration
    if not fitting:
        raise LibraryError(_none(quadrant, some=bool(chosen)))
    return fitting


def path_playlist(
    clips: Iterable[Clip], start: str, end: str, *, seconds: float, uncertain: bool = False
) -> list[Clip]:
    """Choose clips on the way from one quadrant to another, in small steps.

    The first is of the quadrant `start` and the last of `end`. Of the sequences of every length
    that proceed in this direction, it is the one whose squared steps in the plane of arousal and
    valence have the smallest sum, from the middle of the one quadrant to that of the other. Of a
    large library, the clips near the straight way are considered.

    Args:
        clips: a library.
        start: Q1..Q4.
        end: another quadrant.
        seconds: the most that the clips may last together.
        uncertain: take clips whose mood is uncertain, too.

    Raises:
        LibraryError: there is no such sequence.
    """
    if start == end:
        raise LibraryError(f"{start} to {end}: a way needs two moods")
    known = _playable(clips, uncertain=uncertain)
    known.sort(key=lambda clip: clip.file)
    for quadrant in (start, end):
        if not any(clip.quadrant == quadrant for clip in known):
            raise LibraryError(_none(quadrant, some=False))
    here, there = _middle(start), _middle(end)
    places = np.array([(clip.valence, clip.arousal) for clip in known])
    near = _near_the_way(known, places, here, there, {start, end})
    progress = places[near] @ (there - here)
    near = near[np.argsort(progress, kind="stable")]
    songs, places = [known[index] for index in near], places[near]
    longest = int(min(len(songs), seconds // max(min(song.duration for song in songs), 1)))
    return _smallest_steps(songs, places, here, there, start, end, longest, seconds)


def _smallest_steps(
    songs: Sequence[Clip],
    places: Array,
    here: Array,
    there: Array,
    start: str,
    end: str,
    longest: int,
    seconds: float,
) -> list[Clip]:
    """Search all sequences of songs, which are in order of progress, for the best that fits."""
    squares = ((places[:, None] - places[None]) ** 2).sum(axis=2)
    squares[np.tril_indices(len(songs))] = np.inf  # only forward
    of_start = np.array([song.quadrant == start for song in songs])
    of_end = np.array([song.quadrant == end for song in songs])
    # costs[i]: the least sum of a sequence of `count` songs that ends with song i.
    costs = np.where(of_start, ((places - here) ** 2).sum(axis=1), np.inf)
    last = np.where(of_end, ((places - there) ** 2).sum(axis=1), np.inf)
    before: list[NDArray[np.intp]] = []
    best, least = None, np.inf
    for _ in range(2, longest + 1):
        steps = costs[:, None] + squares
        before.append(steps.argmin(axis=0))
        costs = steps.min(axis=0)
        total = costs + last
        way = _traced(before, int(total.argmin()))
        if total.min() < least and sum(songs[index].duration for index in way) <= seconds:
            best, least = way, total.min()
    if best is None:
        raise LibraryError(f"no way from {start} to {end} fits into {seconds / 60:g} minutes")
    return [songs[index] for index in best]


def _traced(before: Sequence[NDArray[np.intp]], index: int) -> list[int]:
    way = [index]
    for links in reversed(before):
        way.append(int(links[way[-1]]))
    return way[::-1]


def _near_the_way(
    clips: Sequence[Clip], places: Array, here: Array, there: Array, ends: set[str]
) -> NDArray[np.intp]:
    """Indices of the clips nearest to stops along the way, and to its ends in their quadrants."""
    quadrants = np.array([clip.quadrant for clip in clips])
    near: set[int] = set()
    for share in np.linspace(0, 1, _STOPS):
        distances = ((places - here - share * (there - here)) ** 2).sum(axis=1)
        near.update(distances.argsort(kind="stable")[:_NEAREST].tolist())
        if share in (0, 1):
            for quadrant in ends:
                of_it = np.flatnonzero(quadrants == quadrant)
                near.update(of_it[distances[of_it].argsort(kind="stable")[:_NEAREST]].tolist())
    return np.array(sorted(near))


def _middle(quadrant: str) -> Array:
    """Valence and arousal in the middle of a quadrant."""
    arousal, valence = signs_of(quadrant)
    return np.array([0.75 if positive else 0.25 for positive in (valence, arousal)])


def _playable(clips: Iterable[Clip], *, uncertain: bool) -> list[Clip]:
    """Every recording once; without uncertain ones unless they are asked for."""
    return list({clip.file: clip for clip in clips if uncertain or not clip.uncertain}.values())


def _none(quadrant: str, *, some: bool) -> str:
    reason = "is short enough" if some else "is certain enough"
    return f"no song of the mood asked for ({quadrant}) {reason}"


def to_m3u8(clips: Iterable[Clip], folder: Path | None, *, warn: Callable[[str], None]) -> str:
    """Return a playlist as m3u8.

    Args:
        clips: in the order of play.
        folder: where the playlist will lie: songs below it are named relative to it, so that both
            can be moved together; others, and all where it is `None`, by their absolute paths.
        warn: told in one line of each song that is left out, for its name cannot stand in a line of
            UTF-8.
    """
    lines = ["#EXTM3U"]
    for clip in clips:
        path = _named(Path(clip.file), folder)
        title = Path(clip.file).stem
        if len(path.splitlines()) != 1 or not _is_unicode(path):
            warn(f"{clip.file}: left out: no playlist can hold this name")
            continue
        lines += [f"#EXTINF:{round(clip.duration)},{title.strip()}", path]
    return "\n".join(lines) + "\n"


def _named(file: Path, folder: Path | None) -> str:
    if folder is not None:
        with_links, without = Path(os.path.abspath(folder)), Path(os.path.realpath(folder))
        for root in (with_links, without):
            if file.is_relative_to(root):
                relative = str(file.relative_to(root))
                return f"./{relative}" if _UNSAFE.match(relative) else relative
    return str(file)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
