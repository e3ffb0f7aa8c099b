"""Pictures to shots, face tracks and crops."""
