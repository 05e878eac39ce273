"""The parts of the checker: what records may become, what leases allow, and what was promised to people."""
