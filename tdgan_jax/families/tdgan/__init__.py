"""TDGAN (Xie, Hu, Chen, IEEE TCSVT 2020)."""
