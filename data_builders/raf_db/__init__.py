"""RAF-DB: photographs of faces found on the web, with seven expressions."""
