"""Programs inside networks; the languages and models arrive in a later release."""
