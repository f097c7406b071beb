"""Models for other programs: one graph, written in several formats, opened by several runtimes."""
