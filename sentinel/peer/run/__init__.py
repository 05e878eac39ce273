"""How one task is executed: what may run, with which arguments, in which environment, and what came of it."""
