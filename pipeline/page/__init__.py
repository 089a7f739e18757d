"""The page on which people see what was kept and why, move the limits, and overrule them."""
