"""Readers of molecular files: one file per format, every refusal an ``InputError`` of one line."""
