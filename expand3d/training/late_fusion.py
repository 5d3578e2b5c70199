"""Late fusion of streams by a linear SVM on their scores (arXiv 1406.2199, section 5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from expand3d.core.errors import ConfigError

#: The cost of a training clip on the wrong side of the SVM's margin.
PENALTY = 1.0


def stacked(streams: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Clips x (streams x classes): each stream's scores of a clip at a length of 1, one by one."""
    lengths = [np.linalg.norm(each, axis=1, keepdims=True) for each in streams]
    both = zip(streams, lengths, strict=True)
    return np.concatenate([each / np.maximum(length, 1e-12) for each, length in both], axis=1)


def svm_fusion(
    train: Sequence[NDArray[np.float64]],
    labels: Sequence[int],
    test: Sequence[NDArray[np.float64]],
) -> NDArray[np.int64]:
    """The class of each test clip by a linear SVM, one class against the rest.

    `train` and `test` are the streams' probabilities, clips x classes each; `labels` are those of
    the training clips, which the SVM is fitted on. ConfigError without scikit-learn.
    """
    try:
        from sklearn.svm import LinearSVC
    except ImportError:
        raise ConfigError(
            "late fusion by an SVM needs scikit-learn, which is not installed: "
            "pip install 'expand3d[svm]'"
        ) from None
    machine = LinearSVC(C=PENALTY, random_state=0, max_iter=10_000)
    machine.fit(stacked(train), list(labels))
    return np.asarray(machine.predict(stacked(test)), np.int64)
