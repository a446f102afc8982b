"""Several processes of one run: how they meet, agree, stop together, and end when one is lost."""
