"""Pages of results: each is one self-contained file that loads nothing."""
