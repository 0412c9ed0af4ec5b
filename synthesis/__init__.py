"""Makes synthetic dialogues: seeds in, filtered dialogues and their provenance out."""
