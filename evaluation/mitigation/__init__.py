"""Ways to mitigate differences between groups, each to be assessed before it is used."""
