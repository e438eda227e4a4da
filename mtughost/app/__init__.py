"""One module per workflow. Command line, Python API and tests call these; they bind the rooms."""
