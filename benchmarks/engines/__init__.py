"""Where runs execute: in this process, in local worker processes, on a Ray cluster, or by a script for SLURM."""
