"""Pictures, drawn by matplotlib, which is imported here only."""

import logging

# Without a home folder that it can write to, matplotlib makes a temporary one, and warns of that on
# import. Nobody need act on it.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
