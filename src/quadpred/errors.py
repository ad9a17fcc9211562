"""Errors that a user can do something about, under one base.

    QuadpredError
    ├── ModelError          predictor             a model file or its device cannot be used
    ├── SummaryError        library.summary       a summary table cannot be read or holds no match
    ├── MoodError           library.moods         mood words that cannot be used
    ├── TagError            library.tags          a music file cannot be tagged
    │   └── ExistingTagError                      it has a mood that another program wrote
    ├── BatchError          batch                 a library run cannot start or go on
    └── UsageError          cli.console           options that contradict each other

`str(error)` is one line that names the file or the option, the reason, and the remedy if there is
one. The command line prints it and exits with code 2. Whatever else is raised is a bug, and is
reported as a traceback.
"""

__all__ = ["QuadpredError"]


class QuadpredError(ValueError):
    """Base of all errors of this package."""
