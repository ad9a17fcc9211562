"""Moods in a beets library: flexible fields, filled on import and by `beet quadpred`.

It follows the conventions of beets' own plugins: `auto` predicts imported songs, and `force` (or
`-f`) predicts songs again that have the fields. The fields are in beets' database; music files are
not changed.
"""

import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from optparse import Values

from beets.dbcore.types import BOOLEAN, STRING, Float, Type
from beets.importer import ImportSession, ImportTask
from beets.library import Item, Library
from beets.plugins import BeetsPlugin
from beets.ui import Subcommand, UserError  # type: ignore[attr-defined] # its older place

from quadpred import AudioError, Predictor, QuadpredError
from quadpred.library.summary import SummaryRow
from quadpred.prediction import join

__all__ = ["QuadpredPlugin"]

_DIGITS = 3  # after the point
_ENERGY_VALENCE = {"energy": Float(_DIGITS), "valence": Float(_DIGITS)}


class QuadpredPlugin(BeetsPlugin):
    """Fills `mood_quadrant`, `mood_arousal`, `mood_valence`, their confidence and uncertainty."""

    item_types: Mapping[str, Type] = {
        "mood_quadrant": STRING,
        "mood_arousal": Float(_DIGITS),
        "mood_valence": Float(_DIGITS),
        "mood_confidence": Float(_DIGITS),
        "mood_uncertain": BOOLEAN,
    }

    def __init__(self) -> None:
        super().__init__()
        self.config.add(
            {
                "auto": True,
                "force": False,
                "energy_valence": False,
                "speech": "english",
                "music": "english",
                "model": "",
            }
        )
        if self.config["energy_valence"].get(bool):
            # Only then: another plugin may have fields of these names.
            self.item_types = {**self.item_types, **_ENERGY_VALENCE}
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
            help="predict songs again that have a mood",
        )
        command.func = self.command
        return [command]

    def command(self, lib: Library, opts: Values, args: list[str]) -> None:
        """Predict the songs of a query."""
        self._fill(lib.items(args), force=opts.force or self.config["force"].get(bool))

    def imported(self, session: ImportSession, task: ImportTask) -> None:
        """Predict the songs of an import; no error stops the import."""
        try:
            self._fill(task.imported_items(), force=self.config["force"].get(bool))
        except UserError as error:  # of the model
            self._log.error("{}", error)

    @cached_property
    def _predictor(self) -> Predictor:
        """The model, loaded once and only if it is needed."""
        try:
            return Predictor.load(
                self.config["model"].as_filename() if self.config["model"].get() else None,
                speech=self.config["speech"].as_str(),
                music=self.config["music"].as_str(),
            )
        except QuadpredError as error:
            raise UserError(f"quadpred: {error}") from None

    def _fill(self, items: Iterable[Item], *, force: bool) -> None:
        for item in items:
            if item.get("mood_quadrant") and not force:
                self._log.info("mood already present for: {}", item)
                continue
            path = os.fsdecode(item.path)
            try:
                prediction = join(self._predictor.stream(path))
            except AudioError as error:
                self._log.error("{}", error)
                continue
            except UserError:
                raise
            except Exception as error:  # a bug or a lack of memory must not stop an import
                self._log.error("{}: {}: {}", path, type(error).__name__, error)
                continue
            if prediction.damage:
                self._log.warning("{}: {}", path, prediction.damage)
            row = SummaryRow.of(prediction)
            item["mood_quadrant"] = row.quadrant
            item["mood_arousal"] = round(row.arousal, _DIGITS)
            item["mood_valence"] = round(row.valence, _DIGITS)
            item["mood_confidence"] = round(row.confidence, _DIGITS)
            item["mood_uncertain"] = row.uncertain
            if self.config["energy_valence"].get(bool):
                item["energy"], item["valence"] = item["mood_arousal"], item["mood_valence"]
            item.store()
            self._log.info("{}: {}", item, row.quadrant)
