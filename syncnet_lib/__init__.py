"""SyncNet research workspace: extraction, pairs, training, refinement and scoring of audio-visual synchronisation."""
