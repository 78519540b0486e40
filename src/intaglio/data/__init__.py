"""Open data and read them in batches with bounded memory, checked against the model's inputs.

A core install reads arrays, .npy and .npz; images, Parquet and descriptors need the extra `quantize`.
"""

from intaglio.data.dataset import Dataset, Inputs, match
from intaglio.data.images import Preprocess
from intaglio.data.open import DataLike, named_data, open_data

__all__ = ["DataLike", "Dataset", "Inputs", "Preprocess", "match", "named_data", "open_data"]
