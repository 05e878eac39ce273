"""Decisions over a snapshot: who is alive, who takes what, what is lost. No git and no processes here."""
