"""Training, evaluation and comparison of the bundled models; see README.md."""
