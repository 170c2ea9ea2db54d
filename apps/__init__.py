"""What runs on top of the library: the reading room and the demonstration."""
