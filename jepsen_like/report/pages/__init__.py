"""Runs on real processes as pages for a browser: one for each run, one over all of them."""
