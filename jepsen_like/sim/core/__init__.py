"""The core tier: real cores on modelled disks and a modelled network, without an event loop."""
