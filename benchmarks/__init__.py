"""Measurements that the model card and the README quote; run from a checkout, nothing here is installed."""
