"""Which parts of an input an output depends on (attribution), and how far to believe such a map. No task, image or file."""
