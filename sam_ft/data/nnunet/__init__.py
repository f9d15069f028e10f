"""Raw data sets of nnU-Net (version 2): their description, their files, their parts."""
