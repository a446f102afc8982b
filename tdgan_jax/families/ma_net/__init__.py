"""MA-Net, global multi-scale and local attention branches, and its diversified features."""
