"""Data sets of `Sample`, and what turns them into batches."""
