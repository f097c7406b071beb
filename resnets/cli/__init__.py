"""The command: each verb calls a function of a room. It parses, prints, and turns errors into exit codes; nothing else."""
