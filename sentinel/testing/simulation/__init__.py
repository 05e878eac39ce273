"""The parts of the simulator: one baton, machines with clocks of their own, a store that is hard to reach."""
