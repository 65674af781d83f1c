"""TensorRT engines of the sampler, timed."""
