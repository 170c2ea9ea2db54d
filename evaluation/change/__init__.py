"""What changed: two runs of one archive, two models, two audits."""
