"""How a network is trained: settings, schedule, optimiser, the loop, and what resuming needs."""
