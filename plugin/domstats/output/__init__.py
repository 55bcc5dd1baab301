"""From a Sample to the agents' forms."""
