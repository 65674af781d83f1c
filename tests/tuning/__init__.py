"""Choosing a lowering."""
