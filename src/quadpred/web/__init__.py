"""`quadpred serve`: a local page and an HTTP API. Needs the extra `web`."""
