"""DICOM series as volumes, which are cut and shown as NIfTI volumes are, and DICOM SEG objects as their labels."""
