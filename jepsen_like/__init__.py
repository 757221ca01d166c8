"""The place for the fault laboratory: seeded simulation, real processes under faults, history checkers."""
