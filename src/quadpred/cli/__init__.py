"""The command line. Commands import what is slow to import when they run."""
