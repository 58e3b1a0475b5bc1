"""Headers of image files, as gateway and worker both read them."""
