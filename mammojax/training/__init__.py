"""From a config to a trained network: steps, devices, checkpoints, tests."""
