"""From the configuration to the parts that it speaks of."""
