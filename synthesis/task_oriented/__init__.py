"""Task-oriented dialogue: ontologies, databases, goals, dialogue acts, belief states, and corpora that have them."""
