"""Turns a checkpoint into an artifact: `python -m export CHECKPOINT --out DIR`, from a checkout."""
