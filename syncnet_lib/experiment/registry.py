"""The registered models: a version for each training, what it was measured to be, and which of them is the champion."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syncnet_lib.experiment.store import answering, client_of, flat
from syncnet_lib.files import scratch, sha256

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

SERVED = Path(__file__).parents[1] / "served.py"
"""What MLflow executes to load a registered model."""


def register(client: "MlflowClient", run_id: str, name: str, path: Path, alias: str) -> None:
    """Log a model file to a run, as what `mlflow.pyfunc` loads, and register it; see `mlflow_log.Run.model`."""
    from mlflow.exceptions import MlflowException

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # MLflow warns of annotations of its own
        import mlflow.pyfunc

    with scratch() as folder:
        served = Path(folder) / "model"
        mlflow.pyfunc.save_model(
            served, python_model=str(SERVED), artifacts={"checkpoint": str(path)}, pip_requirements=["syncnet_lib"]
        )
        client.log_artifacts(run_id, str(served), "model")
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"{client.get_run(run_id).info.artifact_uri}/model"
    version = client.create_model_version(name, source, run_id, tags={"sha256": sha256(path)})
    point(client, version, alias)


def point(client: "MlflowClient", version: "ModelVersion", alias: str) -> None:
    """Let an alias of a registered model point to a version of it.

    Of two writers that set an alias for the first time, both of which see that there is none, MLflow refuses the later
    one: its row is there by then. Another attempt finds the row, and changes it.

    Args:
        client: of the store.
        version: the version.
        alias: e.g. base, refined, champion.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.set_registered_model_alias(version.name, alias, version.version)
    except MlflowException as error:
        if error.error_code != "BAD_REQUEST":
            raise
        client.set_registered_model_alias(version.name, alias, version.version)


def promote(name: str, path: Path, alias: str, auc: float, validated_on: str, root: Path) -> bool:
    """Let an alias of a registered model, e.g. `champion`, point to the version of a model file, if that is better.

    Better is a higher AUC on the same validation data; on other data the two do not compare, and the new one wins. The
    description of the version says which of it was. Nothing happens where the store does not know the model, e.g.
    because DVC fetched it instead of training it.

    Args:
        name: of the registered model.
        path: the model file.
        alias: the alias that is set.
        auc: of the model on the validation data.
        validated_on: hash of these data.
        root: the project.

    Returns:
        Whether the alias points to the model now.
    """
    with answering(root):
        client = client_of(root)
        version, holder = version_of(client, path, name), _holder(client, name, alias)
        if version is None:
            return False
        for key, value in {"validation.auc": f"{auc:.6f}", "validation.data": validated_on}.items():
            client.set_model_version_tag(name, version.version, key, value)
        reason = f"validation AUC {auc:.4f}"
        better = True
        if holder is not None and holder.version != version.version:
            before = float(holder.tags.get("validation.auc", "-inf"))
            comparable = holder.tags.get("validation.data") == validated_on
            better = auc > before or not comparable
            than = f"{before:.4f} of version {holder.version}"
            reason += f"{' against' if comparable else '; not comparable on other data:'} {than}"
        if better:
            point(client, version, alias)
        client.update_model_version(name, version.version, f"{alias if better else f'not {alias}'}: {reason}")
    return better


def measured(name: str, path: Path, figures: Mapping[str, Any], root: Path) -> None:
    """Write what a model was measured to be on the version itself, as tags; nothing happens where it is not known.

    Args:
        name: of the registered model.
        path: the model file.
        figures: of `evaluate.measure`.
        root: the project.
    """
    with answering(root):
        client = client_of(root)
        if version := version_of(client, path, name):
            for key, value in flat(figures):
                client.set_model_version_tag(name, version.version, f"test.{key}", f"{value:.4g}")


def version_of(client: "MlflowClient", path: Path, name: str = "") -> "ModelVersion | None":
    """The newest version that registered a model file; None if none did.

    By its hash: what DVC has restored from an earlier run need not be what was registered last.

    Args:
        client: of the store.
        path: the file.
        name: of the registered model; "" for any.
    """
    same = f"tags.sha256 = '{sha256(path)}'" + (f" and name = '{name}'" if name else "")
    versions = client.search_model_versions(same, order_by=["creation_timestamp DESC"], max_results=1)
    return versions[0] if versions else None


def _holder(client: "MlflowClient", name: str, alias: str) -> "ModelVersion | None":
    """The version of a model that an alias points to; None where there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        return None
