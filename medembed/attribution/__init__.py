"""What carries a score: parts of an image or of a report, tested for faithfulness; no torch."""

__all__: list[str] = []
