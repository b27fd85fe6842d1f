"""How the balancing algorithms do against each other, in a world that is made up: no clock, no socket.

Time is simulated and chance has a seed, so that a run gives the same numbers everywhere. The rules are those
of `edgeproxy.core.balancing`; the pool around them does what the product's does.
"""
