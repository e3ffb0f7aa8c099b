"""The networks, and embeddings to distances to an offset."""
