"""GitHub: the client of its API, the store that uses it, and what goes on there; imported when asked for."""
