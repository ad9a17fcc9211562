"""Moods in a beets library: flexible fields that are filled on import and by `beet quadpred`.

It keeps the conventions of beets' own plugins of this kind: `auto` predicts what is imported,
`force` (or `-f`) predicts again what has its fields already. The fields are kept in beets'
database; music files are not changed.
"""

import os
from collections.abc import Iterable
from functools import cached_property
from optparse import Values
from typing import ClassVar

from beets.dbcore.types import BOOLEAN, STRING, Float, Type
from beets.importer import ImportSession, ImportTask
from beets.library import Item, Library
from beets.plugins import BeetsPlugin
from beets.ui import Subcommand, UserError  # type: ignore[attr-defined] # its place of old

from quadpred import AudioError, Predictor
from quadpred.library.summary import clip_of

__all__ = ["QuadpredPlugin"]

_DIGITS = 3  # after the point


class QuadpredPlugin(BeetsPlugin):
    """Fills `mood_quadrant`, `mood_arousal`, `mood_valence`, and how sure these are."""

    item_types: ClassVar[dict[str, Type]] = {
        "mood_quadrant": STRING,
        "mood_arousal": Float(_DIGITS),
        "mood_valence": Float(_DIGITS),
        "mood_confidence": Float(_DIGITS),
        "mood_uncertain": BOOLEAN,
    }

    def __init__(self) -> None:
        super().__init__()
        self.config.add(
            {"auto": True, "force": False, "speech": "english", "music": "english", "model": ""}
        )
        if self.config["auto"].get(bool):
            self.import_stages = [self.imported]

    def commands(self) -> list[Subcommand]:
        """Return `beet quadpred`."""
        command = Subcommand("quadpred", help="predict the moods of songs")
        command.parser.add_option(
            "-f",
            "--force",
            action="store_true",
            default=False,
            help="predict songs again that have a mood already",
        )
        command.func = self.command
        return [command]

    def command(self, lib: Library, opts: Values, args: list[str]) -> None:
        """Predict the songs of a query."""
        self._fill(lib.items(args), force=opts.force or self.config["force"].get(bool))

    def imported(self, session: ImportSession, task: ImportTask) -> None:
        """Predict the songs of an import."""
        self._fill(task.imported_items(), force=self.config["force"].get(bool))

    @cached_property
    def _predictor(self) -> Predictor:
        """The model, loaded once and only if there is something to predict."""
        try:
            if self.config["model"].get():
                return Predictor(self.config["model"].as_filename())
            languages = (self.config[name].as_str() for name in ("speech", "music"))
            return Predictor.of_languages(*languages)
        except ValueError as error:  # unknown languages, and ModelError
            raise UserError(f"quadpred: {error}") from None

    def _fill(self, items: Iterable[Item], *, force: bool) -> None:
        for item in items:
            if item.get("mood_quadrant") and not force:
                self._log.info("mood already present for: {}", item)
                continue
            try:
                clip = clip_of(self._predictor.predict(os.fsdecode(item.path)))
            except AudioError as error:
                self._log.error("{}", error)
                continue
            item["mood_quadrant"] = clip.quadrant
            item["mood_arousal"] = round(clip.arousal, _DIGITS)
            item["mood_valence"] = round(clip.valence, _DIGITS)
            item["mood_confidence"] = round(clip.confidence, _DIGITS)
            item["mood_uncertain"] = clip.uncertain
            item.store()
            self._log.info("{}: {}", item, clip.quadrant)
