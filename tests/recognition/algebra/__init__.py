"""Polynomials, expressions and their pieces."""
