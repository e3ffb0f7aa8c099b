"""How the recorded runs are shown first: the page of MLflow that `make ui` names, with the columns worth reading."""

import json
from pathlib import Path

from syncnet_lib.experiment.mlflow_log import EXPERIMENT
from syncnet_lib.experiment.store import answering, client_of

KEY = "syncnet"
"""Name of the view among those that MLflow keeps, as tags of the experiment."""
COLUMNS = (
    "attributes.`Created`",
    "attributes.`Duration`",
    "tags.`stage`",
    "metrics.`loss`",
    "metrics.`auc`",
    "metrics.`headline/k5`",
    "metrics.`headline/k15`",
    "metrics.`precision/mean`",
    "params.`lr`",
    "params.`epochs`",
    "params.`seed`",
)
"""Columns of the list of runs: what a run was, how good it was, and what is varied most."""


def page(root: Path) -> str:
    """The page of the runs, after the server's address; the view is kept with the experiment.

    Args:
        root: the project.

    Returns:
        The page of the pipeline's experiment or, where nothing has run, that of all experiments.

    Raises:
        InputError: the store does not answer.
    """
    with answering(root):
        client = client_of(root)
        known = client.get_experiment_by_name(EXPERIMENT)
        if known is None:
            return "/#/experiments?workflowType=machine_learning"
        state = {
            "searchFilter": "",
            "orderByKey": "attributes.start_time",
            "orderByAsc": False,
            "lifecycleFilter": "Active",
            "modelVersionFilter": "All Runs",
            "startTime": "ALL",
            "datasetsFilter": [],
            "selectedColumns": COLUMNS,
        }
        # A view that was changed in the browser and shared has another key: this one is ours to write.
        client.set_experiment_tag(known.experiment_id, f"mlflow.sharedViewState.{KEY}", json.dumps(state))
        return f"/#/experiments/{known.experiment_id}/runs?viewStateShareKey={KEY}&workflowType=machine_learning"
