"""edgeproxy beside nginx and Varnish: one origin, one machine, taking turns."""
