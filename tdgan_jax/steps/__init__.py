"""Training steps: the state and updates of each family, and their mapping over devices."""
