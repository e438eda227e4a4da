"""Reads devices: books into facts, probes, pings, captures. Only what a task book allows."""
