"""Published experiments, one a file, each run by one command: `make experiment NAME=diasynth-summarise`."""
