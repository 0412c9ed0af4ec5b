"""The conversation of a simulated user and agent as a state machine: who does what next, without any words."""
