"""Data prepared for MedSAM: arrays of images or volumes with their labels."""
