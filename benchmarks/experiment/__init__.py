"""From options to fully resolved run configurations."""
