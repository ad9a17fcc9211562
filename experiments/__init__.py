"""Training, evaluation and comparison of the shipped models; see README.md."""
