"""Deformable convolutions by hand: what each weight meets is traced, and proven to be one DeformConv."""
