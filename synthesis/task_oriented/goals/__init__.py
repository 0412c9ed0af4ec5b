"""Goals: what a user is after, domain by domain, drawn from a database or taken from training dialogues."""
