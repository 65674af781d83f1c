"""Interpolation to another size that is spelt as reads: tables and arithmetic that are proven to be a Resize's."""
