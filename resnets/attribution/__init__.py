"""Which parts of an input an output depends on (attribution), and how far such a map can be believed. No task, image or file."""
