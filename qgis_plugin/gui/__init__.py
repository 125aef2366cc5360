"""Dialogs, the options page and what they show."""
