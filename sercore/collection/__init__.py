"""The real corpora: download them, compare them with what was published."""
