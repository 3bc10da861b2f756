"""Parts of the neural recommenders: blocks, losses, negatives, augmentation, and the encoder of a scoring process."""
