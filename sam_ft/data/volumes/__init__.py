"""Slices of volumes in files of any format: grids, objects, caches, parts."""
