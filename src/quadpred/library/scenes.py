"""Scenes: what people do while they listen, as regions of the plane or paths across it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from quadpred.library.playlist import candidates, no_song, path_playlist, within
from quadpred.library.summary import SummaryRow

__all__ = ["SCENES", "Path", "Region", "scene_playlist"]

Range = tuple[float, float]


@dataclass(frozen=True)
class Region:
    """A rectangle of the plane, and the order in which its songs are played.

    Attributes:
        arousal: smallest and largest probability of positive arousal.
        valence: smallest and largest probability of positive valence.
        order: by arousal, "rising" or "falling", or "steady": by distance to the centre.
    """

    arousal: Range
    valence: Range
    order: Literal["rising", "falling", "steady"]

    def distance(self, song: SummaryRow) -> float:
        """Return the squared distance of a song to the centre of the region."""
        arousal, valence = sum(self.arousal) / 2, sum(self.valence) / 2
        return (song.arousal - arousal) ** 2 + (song.valence - valence) ** 2

    def holds(self, song: SummaryRow) -> bool:
        """Return whether a song lies in the region."""
        (low, high), (left, right) = self.arousal, self.valence
        return low <= song.arousal <= high and left <= song.valence <= right


@dataclass(frozen=True)
class Path:
    """A path from one quadrant to another, as `path_playlist` finds it."""

    start: str
    end: str


SCENES: Mapping[str, Region | Path] = {
    "sleep": Region(arousal=(0, 0.3), valence=(0.4, 1), order="falling"),
    "focus": Region(arousal=(0.2, 0.55), valence=(0.4, 0.8), order="steady"),
    "workout": Region(arousal=(0.7, 1), valence=(0.3, 1), order="rising"),
    "party": Region(arousal=(0.6, 1), valence=(0.6, 1), order="rising"),
    "wind-down": Path("Q1", "Q4"),
}
"""Scenes by name; docs/library.md has them as a table."""


def scene_playlist(
    songs: Iterable[SummaryRow], name: str, *, seconds: float, uncertain: bool = False
) -> list[SummaryRow]:
    """Choose songs for a scene: those nearest to the centre of its region, or on its path.

    Args:
        songs: a library.
        name: one of `SCENES`.
        seconds: maximum total duration.
        uncertain: include songs whose quadrant is uncertain.

    Raises:
        SummaryError: there are none, or every one is longer.
    """
    scene = SCENES[name]
    if isinstance(scene, Path):
        return path_playlist(songs, scene.start, scene.end, seconds=seconds, uncertain=uncertain)
    region = f"in the region of --scene {name}"
    inside = [song for song in candidates(songs, uncertain=uncertain) if scene.holds(song)]
    if not inside:
        raise no_song(region, uncertain=uncertain)
    inside.sort(key=lambda song: (scene.distance(song), song.file))
    chosen = within(inside, seconds, kind=f"song {region}")
    if scene.order != "steady":
        chosen.sort(key=lambda song: song.arousal, reverse=scene.order == "falling")
    return chosen
