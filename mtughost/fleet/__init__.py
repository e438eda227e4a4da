"""Nornir: inventory, selection, runner."""
