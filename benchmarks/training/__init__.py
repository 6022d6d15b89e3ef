"""One run: rows to batches, model, training, predictions, record."""
