"""The log on disk: segments, records and recovery over the Disk port."""
