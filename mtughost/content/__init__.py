"""Task books, parsers, templates and runbooks: found, validated, rendered. Sends nothing."""
