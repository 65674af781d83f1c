"""What is found in a graph, and what is not."""
