"""What a recommender offers; its scoring form stands here, also when Spark fits it."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")  # TensorFlow's notes at start tell nobody anything
