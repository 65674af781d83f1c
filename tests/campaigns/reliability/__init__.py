"""Campaigns that try to break the package: bad bytes, bad graphs, faults of the machine, models that are large.

`python -m tests.campaigns.reliability` runs them in full and writes docs/reliability.md; the test suite runs a
sample of each.
"""
