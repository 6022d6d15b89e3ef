"""Finished runs used and looked into: predictions, export, diagnoses, the check of the conflict knob."""
