"""One thin module per command: read options, call ``app``, print, return an exit code."""
