"""What a task's predictions are worth: its score, the sampling error of that, and many resamples at once."""
