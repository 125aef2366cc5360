"""Recipes: the settings of published and built-in runs."""
