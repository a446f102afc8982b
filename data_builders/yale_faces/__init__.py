"""Yale faces: 15 people in eleven conditions, four of which are expressions."""
