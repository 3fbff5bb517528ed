"""Deep metric learning for medical images, in JAX.

The core works alone, on arrays, under jit, grad, vmap, shard_map and pmap:

    from mammojax import automargin, distances, losses, relations

    loss, stats = losses.batch_all_triplet(
      embeddings, labels, margin=0.25, stats=True
    )
"""

__version__ = '0.1.0'
