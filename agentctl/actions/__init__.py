"""What a step does to the world: one file for each action, and what they share."""
