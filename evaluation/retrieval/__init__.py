"""How well relevant cases are found: measures of any ranking, with controls beside them."""
