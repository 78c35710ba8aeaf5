"""Synthetic demo corpora, for everyone without the real ones."""
