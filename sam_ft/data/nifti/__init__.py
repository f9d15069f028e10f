"""NIfTI files: read, checked, paired, and written back onto the source's grid."""
