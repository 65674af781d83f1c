"""Samplers that other tools write by machine: `python -m tests.campaigns.decompositions FOLDER`."""
