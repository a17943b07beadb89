"""What a method may ask of a model, and the machinery behind it that no architecture owns."""
