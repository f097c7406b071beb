"""A model as one HTML page that answers in a browser, offline: the network, ONNX Runtime Web, and the page around them."""
