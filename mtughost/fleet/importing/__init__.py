"""Inventories from where they already live: rows of columns in, hosts of ours out."""
