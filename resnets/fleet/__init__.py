"""The machines that work is done on: engines, which call a function for many items, or in several processes together."""
