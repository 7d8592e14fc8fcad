"""What a person sees and types: magics, cards and their static twins."""
