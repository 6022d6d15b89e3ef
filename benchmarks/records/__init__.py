"""What is kept of a run: its record, its predictions, and what it ran on."""
