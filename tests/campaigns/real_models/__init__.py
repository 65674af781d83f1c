"""Models that people ship: nothing in them may be taken for a sampler, and nothing in them may change."""
