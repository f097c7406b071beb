"""What tasks with answers for places in a picture share."""
