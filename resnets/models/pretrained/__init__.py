"""Other libraries' weights: a file or a name in, our names and a header out; and back."""
