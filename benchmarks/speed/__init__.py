"""How fast the adapted layer is, beside its peers: ``python -m benchmarks.speed``."""
