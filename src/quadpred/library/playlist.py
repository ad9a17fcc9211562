"""Playlists of a predicted library: one mood, or small steps from one mood to another."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quadpred.labels import signs_of
from quadpred.library.moods import WORDS, Vocabulary
from quadpred.library.summary import SummaryError, SummaryRow

__all__ = ["candidates", "mood_playlist", "no_song", "path_playlist", "within"]

Array = NDArray[np.float64]

_STOPS = 80  # points along the path
_NEAREST = 5  # songs considered at each of them
_HALVINGS = 30  # of the range of prices
_ROUNDING = 1e-9  # relative error of sums, at most


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
    considered.

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

    A price per second is added to the steps first: it is raised until what is then cheapest fits.
    This gives a sequence that is nearly the best, and a lower bound on the steps of every other.
    Only the few that the bound does not rule out are compared.
    """
    graph = _Graph.of(songs, points, start, end)
    path = graph.cheapest(0)[0]
    if graph.duration(path) > seconds:
        best = graph.pair(seconds)
        if best is None:
            limit = f"{seconds / 60:g} min; raise --max-minutes"
            raise SummaryError(f"no playlist from {start} to {end} fits in {limit}")
        low, high = 0.0, 1.0
        for _ in range(_HALVINGS):
            price = (low + high) / 2
            path = graph.cheapest(price)[0]
            if graph.duration(path) > seconds:
                low = price
            else:
                high = price
                best = min(best, path, key=graph.cost)
        path = graph.best_within(seconds, high, graph.cost(best))
    return [songs[index] for index in path]


@dataclass(frozen=True)
class _Graph:
    """Songs in order of progress, and the squares of the steps between them.

    Attributes:
        durations: of the songs in seconds, shape (songs,).
        first: square of the step from the centre to each song, shape (songs,); infinite where no
            sequence can begin.
        steps: from a row's song to a column's, shape (songs, songs).
        last: like `first`, to the other centre.
    """

    durations: Array
    first: Array
    steps: Array
    last: Array

    @classmethod
    def of(cls, songs: Sequence[SummaryRow], points: Array, start: str, end: str) -> "_Graph":
        """Return the graph of songs at points, shape (songs, 2)."""
        first, last = (
            np.where(
                [song.quadrant == quadrant for song in songs],
                ((points - _centre(quadrant)) ** 2).sum(axis=1),
                np.inf,
            )
            for quadrant in (start, end)
        )
        steps = ((points[:, None] - points[None]) ** 2).sum(axis=2)
        return cls(np.array([song.duration for song in songs]), first, steps, last)

    def duration(self, path: Sequence[int]) -> float:
        """Return the sum of durations in seconds."""
        return float(self.durations[path].sum())

    def cost(self, path: Sequence[int]) -> float:
        """Return the sum of squared steps."""
        between = self.steps[path[:-1], path[1:]].sum()
        return float(self.first[path[0]] + between + self.last[path[-1]])

    def pair(self, seconds: float) -> list[int] | None:
        """Return the two songs of the smallest sum that fit: if none do, no sequence does."""
        costs = self.first[:, None] + self.steps + self.last
        costs[self.durations[:, None] + self.durations > seconds] = np.inf
        costs[np.tril_indices(len(costs))] = np.inf
        at = np.unravel_index(costs.argmin(), costs.shape)
        return [int(index) for index in at] if costs[at] < np.inf else None

    def cheapest(self, price: float) -> tuple[list[int], Array]:
        """Return the sequence of the smallest sum if each second has a price.

        Also returns the smallest sum of what can follow each song, shape (songs,).
        """
        rest = self.last.copy()
        following = np.full(len(rest), -1)
        for index in range(len(rest) - 2, -1, -1):
            later = slice(index + 1, None)
            sums = self.steps[index, later] + price * self.durations[later] + rest[later]
            least = int(sums.argmin())
            if sums[least] < rest[index]:
                rest[index], following[index] = sums[least], index + 1 + least
        path = [int((self.first + price * self.durations + rest).argmin())]
        while following[path[-1]] >= 0:
            path.append(int(following[path[-1]]))
        return path, rest

    def best_within(self, seconds: float, price: float, enough: float) -> list[int]:
        """Return the sequence of the smallest sum that fits.

        Of the sequences up to each song, those are kept that no other is better than in both sum
        and duration, and which, by the bound of `price`, can have a sum of at most `enough`.
        """
        rest = self.cheapest(price)[1]
        most = (enough + price * seconds) * (1 + _ROUNDING)
        song, parent = np.empty(0, np.intp), np.empty(0, np.intp)
        cost, length = np.empty(0), np.empty(0)
        for index, duration in enumerate(self.durations):
            origins = np.arange(-1, len(song))  # -1: a sequence begins here
            costs = np.append(self.first[index], cost + self.steps[song, index])
            lengths = np.append(0.0, length) + duration
            possible = (lengths <= seconds) & (costs + price * lengths + rest[index] <= most)
            order = np.flatnonzero(possible)
            order = order[np.lexsort((costs[order], lengths[order]))]
            least = np.minimum.accumulate(np.append(np.inf, costs[order]))
            kept = order[costs[order] < least[:-1]]
            song = np.append(song, np.full(len(kept), index))
            parent = np.append(parent, origins[kept])
            cost, length = np.append(cost, costs[kept]), np.append(length, lengths[kept])
        at = int((cost + self.last[song]).argmin())
        path = []
        while at >= 0:
            path.append(int(song[at]))
            at = int(parent[at])
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
