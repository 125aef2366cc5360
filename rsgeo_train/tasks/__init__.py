"""Fine-tuning and supervised training, one task per file."""
