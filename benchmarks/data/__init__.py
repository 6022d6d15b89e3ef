"""Rows of tasks: columns checked, options and images read, and what is trained on and what is scored."""
