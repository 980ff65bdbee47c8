"""PET from the inside: rotated copies without new neighbour lists, layers by name."""
