"""A small generated world: its language, its pictures, tasks on both, and an encoder pretrained on them.

Two readers speak the world's language. They agree on some pairs of opposite words and use the others the other way round
(:mod:`benchmarks.world.forms`), which is how conflict between tasks is set.
"""
