"""How a network is trained and watched: epoch by epoch, able to stop and go on bit for bit."""
