"""One TFDS folder per dataset: builder, test, README, citation and tags."""
