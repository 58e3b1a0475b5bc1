"""The command line `facesearch`: it starts, inspects and administers; gateway and worker never import it."""
