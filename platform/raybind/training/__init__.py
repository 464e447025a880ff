"""Training: the loop and its step, the state that outlives them, and the ports to whatever surrounds them."""
