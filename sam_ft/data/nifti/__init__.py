"""Slices of NIfTI volumes: pairing, grids, objects, and the way back onto the source's grid."""
