"""The checks, one file for each subject: from what was seen of a data set to findings."""
