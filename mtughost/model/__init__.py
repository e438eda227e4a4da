"""Frozen values that every room shares. Nothing here does I/O or reads a clock."""
