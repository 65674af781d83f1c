"""Deformable attention by hand: which sample each weight meets is traced, and proven to be one node."""
