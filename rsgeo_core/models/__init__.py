"""The built-in models: ONNX files, each with its card inside."""
