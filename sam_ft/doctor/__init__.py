"""`sam-ft doctor`: a look at a data set before anyone trains on it, what is wrong with it and what to set."""
