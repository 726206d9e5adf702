"""Edges touch: one outside system a file, no decisions."""
