"""IF-GAN (Cai et al., ICIP 2021)."""
