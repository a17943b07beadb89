"""The parts of the ``hf`` backbone, which serves every family of transformers' image-and-text models."""
