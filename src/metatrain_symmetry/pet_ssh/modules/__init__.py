"""The new parts of the network; everything else is PET's own."""
