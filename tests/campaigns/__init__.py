"""Runs over many models, too long for the suite; `make` has a target for each."""
