"""Messages, control data and settings that gateway and worker share. Imports neither of them."""
