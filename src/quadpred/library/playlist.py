"""Playlists of a predicted library: one mood, or small steps from one mood to another."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from quadpred.labels import signs_of
from quadpred.library.moods import WORDS, Vocabulary
from quadpred.library.summary import SummaryError, SummaryRow

__all__ = ["candidates", "mood_playlist", "no_song", "path_playlist", "within"]

Array = NDArray[np.float64]

_STOPS = 80  # points along the path
_NEAREST = 5  # songs considered at each of them
_UNITS = 3600  # into which the time limit is divided, at most; durations are rounded up to one


def mood_playlist(
    songs: Iterable[SummaryRow],
    mood: str,
    vocabulary: Vocabulary | None = None,
    *,
    seconds: float = np.inf,
    uncertain: bool = False,
) -> list[SummaryRow]:
    """Choose the songs of a mood, by decreasing confidence.

    Args:
        songs: a library.
        mood: Q1 to Q4, or a word of the vocabulary.
        vocabulary: words for quadrants and places on the plane.
        seconds: maximum total duration; songs that do not fit are skipped.
        uncertain: include songs whose quadrant is uncertain.

    Raises:
        SummaryError: there are none.
        MoodError: the vocabulary does not have the word.
    """
    vocabulary = vocabulary or Vocabulary()
    fitting = [
        song
        for song in candidates(songs, uncertain=uncertain)
        if vocabulary.has_word(mood, song.quadrant, arousal=song.arousal, valence=song.valence)
    ]
    fitting.sort(key=lambda song: (-song.confidence, song.file))
    if not fitting:
        raise no_song(mood, uncertain=uncertain)
    return within(fitting, seconds, kind=f"{mood} song")


def within(songs: Iterable[SummaryRow], seconds: float, *, kind: str) -> list[SummaryRow]:
    """Return the songs that fit into a total duration, in their order; others are skipped.

    Raises:
        SummaryError: every one is longer; the message names their kind.
    """
    chosen = []
    for song in songs:
        if song.duration <= seconds:
            chosen.append(song)
            seconds -= song.duration
    if not chosen:
        raise SummaryError(f"every {kind} is longer than --max-minutes {seconds / 60:g}")
    return chosen


def path_playlist(
    songs: Iterable[SummaryRow], start: str, end: str, *, seconds: float, uncertain: bool = False
) -> list[SummaryRow]:
    """Choose songs that lead from one quadrant to another in small steps.

    The first song is of the quadrant `start`, the last one of `end`, and each is nearer to the
    end than the one before it. Among all such sequences that fit, the sum of squared steps in the
    plane of arousal and valence is the smallest. It includes the steps from the centre of `start`
    and to the centre of `end`. Only songs near the straight line between the centres are
    considered. Durations are rounded up to whole seconds, or to 1/3600 of a limit of hours.

    Args:
        songs: a library.
        start: Q1 to Q4.
        end: another quadrant.
        seconds: maximum total duration.
        uncertain: include songs whose quadrant is uncertain.

    Raises:
        SummaryError: there is no such sequence.
    """
    if start == end:
        raise SummaryError("--from and --to must differ")
    usable = candidates(songs, uncertain=uncertain)
    usable.sort(key=lambda song: song.file)
    for quadrant in (start, end):
        if not any(song.quadrant == quadrant for song in usable):
            raise no_song(f"{quadrant} ({WORDS[quadrant]})", uncertain=uncertain)
    first, last = _centre(start), _centre(end)
    points = np.array([(song.valence, song.arousal) for song in usable])
    near = _near_line(usable, points, first, last, {start, end})
    progress = points[near] @ (last - first)
    near = near[np.argsort(progress, kind="stable")]
    ordered = [usable[index] for index in near]
    return _smallest_steps(ordered, points[near], start, end, seconds)


def _smallest_steps(
    songs: Sequence[SummaryRow], points: Array, start: str, end: str, seconds: float
) -> list[SummaryRow]:
    """Search all sequences of songs, which are in order of progress, for the best that fits.

    Dynamic programming: `costs[i, t]` is the smallest sum of a sequence that ends with song i and
    lasts t units, `before[i, t]` the song before the last one, or -1.
    """
    unit = max(1, math.ceil(min(seconds, sum(song.duration for song in songs)) / _UNITS))
    lengths = [max(1, math.ceil(song.duration / unit)) for song in songs]
    longest = int(min(seconds / unit, sum(lengths)))
    squares = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    from_start = ((points - _centre(start)) ** 2).sum(axis=1)
    to_end = ((points - _centre(end)) ** 2).sum(axis=1)
    costs = np.full((len(songs), longest + 1), np.inf)
    before = np.full(costs.shape, -1)
    for index, (song, length) in enumerate(zip(songs, lengths, strict=True)):
        if length > longest:
            continue
        if index:
            sums = costs[:index, : longest + 1 - length] + squares[:index, index, None]
            costs[index, length:] = sums.min(axis=0)
            before[index, length:] = sums.argmin(axis=0)
        if song.quadrant == start:  # alone, it is the only sequence of its length
            costs[index, length], before[index, length] = from_start[index], -1
    totals = costs + np.where([song.quadrant == end for song in songs], to_end, np.inf)[:, None]
    index, left = (int(k) for k in np.unravel_index(totals.argmin(), totals.shape))
    if totals[index, left] == np.inf:
        limit = f"{seconds / 60:g} min; raise --max-minutes"
        raise SummaryError(f"no playlist from {start} to {end} fits in {limit}")
    path = []
    while index >= 0:
        path.append(songs[index])
        index, left = int(before[index, left]), left - lengths[index]
    return path[::-1]


def _near_line(
    songs: Sequence[SummaryRow], points: Array, first: Array, last: Array, ends: set[str]
) -> NDArray[np.intp]:
    """Return indices of the songs nearest to points on a line, and of the ends' own quadrants."""
    quadrants = np.array([song.quadrant for song in songs])
    near: set[int] = set()
    for share in np.linspace(0, 1, _STOPS):
        distances = ((points - first - share * (last - first)) ** 2).sum(axis=1)
        near.update(distances.argsort(kind="stable")[:_NEAREST].tolist())
        if share in (0, 1):
            for quadrant in ends:
                inside = np.flatnonzero(quadrants == quadrant)
                near.update(inside[distances[inside].argsort(kind="stable")[:_NEAREST]].tolist())
    return np.array(sorted(near))


def _centre(quadrant: str) -> Array:
    """Return valence and arousal at the centre of a quadrant."""
    arousal, valence = signs_of(quadrant)
    return np.array([0.75 if positive else 0.25 for positive in (valence, arousal)])


def candidates(songs: Iterable[SummaryRow], *, uncertain: bool) -> list[SummaryRow]:
    """Return every file once; uncertain ones only if requested."""
    return list({song.file: song for song in songs if uncertain or not song.uncertain}.values())


def no_song(kind: str, *, uncertain: bool) -> SummaryError:
    """Return the error that a library has no song of a kind, with a remedy if there is one."""
    if uncertain:
        return SummaryError(f"no song is {kind}")
    return SummaryError(f"no song is confidently {kind}; try --uncertain")
