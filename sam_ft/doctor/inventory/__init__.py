"""What a data set has on disk, listed without refusing anything: one file for each way of laying it out."""
