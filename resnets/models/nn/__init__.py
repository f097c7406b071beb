"""The `torch.nn` modules that networks are built from."""
