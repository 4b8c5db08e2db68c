"""How samples reach a training."""
