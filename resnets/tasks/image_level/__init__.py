"""What tasks with one answer per picture share."""
