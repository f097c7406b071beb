"""Pictures and labels in, batches out. Never sees a module."""
