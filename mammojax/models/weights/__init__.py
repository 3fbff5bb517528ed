"""Arrays of files of weights, and their names in our networks.

`content` tells formats apart, `tensors` and `kerasfiles` read them, the latter
in a process of its own (`isolation`, `keras_child`), `hub` fetches them;
`torch_names`, `timm_names`, `keras_names` and `own_names` say which array goes
where, `matching` puts it there. `models.pretrained` is the door to all of it.
"""
