"""A seventh system, for a test and as an example: softmax regression on pixels."""
