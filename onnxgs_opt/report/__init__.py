"""What a run found and did, as records, and its renderings."""
