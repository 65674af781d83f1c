"""Counts over generated samplers and mutants: `python -m tests.campaigns.soundness`."""
