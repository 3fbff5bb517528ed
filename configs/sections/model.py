"""The network."""

import ml_collections


def model():
  model = ml_collections.ConfigDict()
  # See docs/networks.md for the names, their levels and their widths.
  model.name = 'resnet18'
  # Channels of the first stage; 0 is the published network.
  model.width = 16
  # The last level that is kept, such as 'stage3', 'mixed8', 'top+1'; '': all.
  model.cut = ''
  # Of ResNets: 'imagenet' or 'cifar'.
  model.stem = 'imagenet'
  model.zero_init = False
  # How images of one channel are seen: 'native', 'replicate' or 'learned'.
  model.grey = 'native'
  # Unroll the last map in place of its mean; ties the network to a size.
  model.flatten = False
  # 'embedding', 'none', or a decision: a 'classifier' of images, or 'siamese',
  # of pairs: the first and second image of a subject, the third and fourth...
  model.head = 'embedding'
  # Widths of dense layers in front of the last.
  model.hidden = ()
  # Length of an embedding, or the number of logits.
  model.embedding_dim = 128
  model.normalize = True
  # Share of the features that the head does not see in training.
  model.dropout = 0.0
  # Folder of a run whose network this one starts from; '': at random.
  model.init_from = ''
  # File of weights that the backbone starts with, or hf://owner/repo[/file];
  # set data.input to what its publisher fed it. See docs/pretrained.md.
  model.weights = ''
  # Start from init_from, or from a file that `export` wrote, although its
  # images were prepared otherwise than data says.
  model.allow_other_preparation = False
  # Of the convolutions: 'float32' or 'bfloat16'.
  model.dtype = 'float32'
  return model
