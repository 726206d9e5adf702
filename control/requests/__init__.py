"""Who asks, how, and how fast; what is answered when something is wrong."""
