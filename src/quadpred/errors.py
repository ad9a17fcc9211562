"""Errors that a user can act on, under one base.

    QuadpredError
    ├── AudioError              audio                   a recording cannot be read
    │   └── TooLongError                                it is longer than allowed
    ├── LanguageError           registry                no such language or pair of languages
    ├── ModelError              predictor               a model file or device cannot be used
    ├── SummaryError            library.summary         a summary cannot be read or has no match
    ├── MoodError               library.moods           mood words cannot be used
    ├── PlaylistError           library.playlist_files  a playlist cannot be written or refreshed
    ├── TagError                library.tags            a music file cannot be tagged
    │   └── ExistingTagError                            it has a mood of another program
    ├── IntervalError           library.moments         intervals cannot be read or averaged
    ├── FormatError             formats                 no such output format
    ├── BatchError              batch                   a run cannot start or continue
    ├── UsageError              cli.console             options that cannot be combined
    ├── WorkerLostError         web.pool                a worker of the server has ended
    ├── RecipeError             train.recipe            a recipe cannot be used
    ├── ManifestError           train.corpora.manifest  a manifest or corpus cannot be used
    ├── FetchError              train.corpora.fetch     a corpus cannot be downloaded
    │   └── DamagedError                                an archive is damaged
    ├── RunError                train.run               a training run cannot be used
    │   └── DivergedError                               the loss is not a finite number
    ├── EvaluationError         train.evaluate          scores cannot be read
    ├── AdaptError              train.adapt             labelled songs cannot be used
    ├── PaperModelError         train.keras             a Keras model cannot be converted
    └── ExportError             train.export            a model file differs from its network

`str(error)` is one line: the file or option, the reason and, if there is one, the remedy. The
command line prints it and exits with code 2, or 1 if other files succeeded. Wrong arguments
raise `ValueError`, and a disk that is full or cannot be written `OSError`. Every other exception is
a bug.
"""

__all__ = ["QuadpredError"]


class QuadpredError(ValueError):
    """Base of all errors that a user can act on."""
