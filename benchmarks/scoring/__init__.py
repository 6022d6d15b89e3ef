"""What predictions are worth: metrics, their sampling error, and many resamples at once."""
