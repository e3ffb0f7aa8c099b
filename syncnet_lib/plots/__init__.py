"""Functions that return figures and tables, and never write them."""
