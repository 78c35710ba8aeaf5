"""Helpers of the course on recognising emotion in speech.

Each module has one job, and a module imports only from those that come earlier in the data's way;
the order is in `tests/test_house.py`. Importing the package itself imports none of them.
"""

import os

# The models are TensorFlow's, whatever backend the user's ~/.keras/keras.json names for other work.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

__version__ = "0.1.0"
