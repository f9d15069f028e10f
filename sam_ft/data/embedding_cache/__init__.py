"""What a frozen image encoder makes of a data set's images, computed once and kept on the disk."""
