"""Self-supervised methods, one a file: its settings, its network and its step."""
