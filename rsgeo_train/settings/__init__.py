"""The blocks of a recipe: its settings, what they mean, and what is checked of each by itself."""
