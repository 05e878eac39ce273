"""Where a fleet's state lives: one small port, and stores that implement it."""
