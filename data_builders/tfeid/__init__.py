"""TFEID: Taiwanese faces, 40 models with eight posed expressions."""
