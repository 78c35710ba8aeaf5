"""How the course is fast and safe: whole files, the scan, arrays on disk, kept runs."""
