"""Applications on top of the library: reading room, demonstration, fairness audit."""
