"""What a folder of results supports: records, comparisons, significance."""
