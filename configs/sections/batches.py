"""Batches of training images, and their random changes."""

import ml_collections


def sampler():
  sampler = ml_collections.ConfigDict()
  # 'subjects' (P subjects x K images), random 'pairs' or 'triplets', plain
  # epochs ('shuffle'), or with as many images of each label: 'balanced'
  # batches, epochs that 'oversample' or 'undersample'.
  sampler.name = 'subjects'
  # What is learnt: 'subject', 'diagnosis', or 'target': whether the diagnosis
  # is one of data.positive.
  sampler.label = 'subject'
  # Of balanced, oversample and undersample: of what there are as many images
  # each; '': of the label.
  sampler.balance = ''
  # Images of a batch of all samplers but 'subjects'.
  sampler.batch_size = 64
  # Of pairs and triplets: 'all' pairs of the batch count, or those 'drawn'.
  sampler.relate = 'all'
  # Of 'subjects': P and K.
  sampler.subjects_per_batch = 16
  sampler.images_per_subject = 4
  # Of 'subjects': draw images with replacement when there are too few.
  sampler.with_replacement = False
  # Of 'subjects': those with fewer images take no part in training.
  sampler.min_images = 1
  # What two copies of one image in a batch are: 'ignored' or 'positive'.
  sampler.same_item = 'ignored'
  # Threads that read, and batches held ready.
  sampler.num_threads = 2
  sampler.prefetch = 4
  return sampler


def augment():
  augment = ml_collections.ConfigDict()
  augment.horizontal_flip = False
  augment.vertical_flip = False
  augment.rotate90 = False
  augment.rotation_degrees = 10.0
  augment.shift = 0.06
  augment.zoom = 0.1
  augment.brightness = 0.05
  augment.contrast = 0.1
  augment.gamma = 0.2
  # Drawing normal noise costs as much as all the rest together on a CPU.
  augment.noise = 0.0
  augment.fill = 'edge'
  return augment
