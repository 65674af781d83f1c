"""From a graph to its sites, each proven, and to the near-misses and hazards beside them."""
