"""Samplers whose limits, branches, casts and indices are made of sizes, half of them so that it changes something."""
