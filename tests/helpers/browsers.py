"""How long tests wait for a browser."""

PATIENCE = 120_000  # milliseconds
