"""Turns a checkpoint into an artifact for the device: `python -m export CHECKPOINT --out DIR` from a checkout."""
