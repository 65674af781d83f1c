"""Mutation testing of the recogniser: small faults are written into its modules, and its tests have to see each."""
