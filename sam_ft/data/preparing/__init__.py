"""From what others publish to the folders that the `data` configs read: what the recipes in `datasets/` share."""
