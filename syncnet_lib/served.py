"""A trained model as MLflow loads it: `predict` measures videos.

MLflow executes this file by `mlflow.pyfunc.load_model("models:/syncnet@champion")`; nothing imports it.
"""

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel, PythonModelContext

COLUMNS = ("path", "offset_frames", "offset_ms", "confidence", "sureness", "min_distance", "verdict")
"""What is told of a video, as `syncnet offset --json` tells it."""


class Measuring(PythonModel):
    """Measures videos with the checkpoint that is kept beside it."""

    def load_context(self, context: PythonModelContext) -> None:
        """Remember where MLflow has put the checkpoint."""
        self._checkpoint = context.artifacts["checkpoint"]

    def predict(self, model_input: list[str]) -> pd.DataFrame:  # type: ignore[override]  # MLflow allows no context
        """Measure videos.

        Args:
            model_input: their paths.

        Returns:
            A row a video, with the columns of `COLUMNS`.

        Raises:
            InputError: one of them cannot be measured.
        """
        import syncnet_lib

        results = [syncnet_lib.measure(path, self._checkpoint).to_dict() for path in model_input]
        return pd.DataFrame(results, columns=list(COLUMNS))


mlflow.models.set_model(Measuring())
