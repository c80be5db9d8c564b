"""Models: where they come from, how they are built, and what runs them."""
