"""Videos to clips to splits."""
