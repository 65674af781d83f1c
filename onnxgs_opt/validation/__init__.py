"""Prove that a rewrite computes the same, on inputs that find wrong samplers."""
