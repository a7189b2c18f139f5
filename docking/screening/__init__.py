"""Parts of a screen: its records, what is done with one, who does it, and what is kept."""
