"""Pictures of finished benchmark runs, with the numbers behind each of them."""
