"""Whole clusters under one seed: plans of faults, two tiers that carry them out, and the oracles that watch."""
