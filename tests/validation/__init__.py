"""The checks that find wrong rewrites."""
