"""From a user's pictures to rows, annotated pictures, grids and animations."""
