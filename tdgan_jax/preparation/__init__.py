"""From what an owner hands out to a prepared TFDS dataset."""
