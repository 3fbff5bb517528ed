"""Networks: backbones, the embedding head and the two put together."""
