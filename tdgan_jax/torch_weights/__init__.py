"""PyTorch weights: twins of the networks in plain torch, and the tables that map their weights.

Nothing is imported here, so that the package works without torch.
"""
