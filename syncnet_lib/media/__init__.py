"""Any file to pictures and sound on one clock, and back."""
