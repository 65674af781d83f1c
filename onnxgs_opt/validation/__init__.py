"""Check that a rewrite computes the same, on inputs that find wrong samplers; report/verdict.py says what follows."""
