"""The benchmark: cases x lowerings x runtimes, every ratio from one run."""
