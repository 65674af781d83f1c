"""Engines, built without a GPU."""
