"""What is said of a dataset or a model: cards from facts, and their figures."""
