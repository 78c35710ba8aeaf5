"""For maintainers: run the chapters, make pages, publish results."""
