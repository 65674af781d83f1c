"""What stands beside the package: documentation, examples, CI, pinned versions."""
