"""Metrics, one object each. They see labels, predictions and texts, and know of no tasks; ``registry`` lists them."""
