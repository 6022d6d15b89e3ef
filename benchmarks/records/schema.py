"""What records hold, by version."""

RUN = 1
DIAGNOSIS = 1
PARTS = {"schema", "id", "config", "scores", "score", "parameters", "training", "environment"}  # of a run record
