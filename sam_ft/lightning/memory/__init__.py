"""How much memory a training step takes, whether its device has that much, and how to take less."""
