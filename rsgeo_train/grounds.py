"""Which samples show the same piece of ground."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def grounds_of(table: pd.DataFrame) -> NDArray[np.str_]:
    """The piece of ground that each sample of a catalog's table shows, (N,): its place and its piece (or window) there.

    A place's images are cut alike on each date.
    """
    cut = ["piece"] if "piece" in table else sorted(column for column in table if column.endswith("_window"))
    names = table["place"].astype(str).to_numpy(object)
    for column in cut:
        names = names + " " + table[column].map(str).to_numpy(object)
    return names.astype(str)
