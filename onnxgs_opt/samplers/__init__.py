"""What a sampler is: kernel, border, window, coordinates, and the site where one was found."""
