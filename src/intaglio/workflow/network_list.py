"""List of networks for a survey: a TOML file with models and their data.

    data = "calib.toml"                # for all networks that have no `data` of their own
    eval = "test.toml"

    [[network]]
    model = "resnet8.onnx"

    [[network]]
    name = "Keywords"
    model = "ds_cnn.onnx"
    data = "speech-calib.npz"
    eval = "speech-test.npz"
    train = "speech-train.npz"

Paths are relative to the file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from intaglio.errors import UsageError
from intaglio.files.reading import UnreadableError, read_toml
from intaglio.files.schema_error import schema_error

Text = Annotated[str, Field(min_length=1)]


class _ListTable(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _NamedData(_ListTable):
    """Keys that may stand at the top of the file, for all networks, and in each network."""

    data: Text | None = None
    eval: Text | None = None
    train: Text | None = None
    metric: Text | None = None


class ListedNetwork(_NamedData):
    """Network in the list.

    Args:
        model: as the argument MODEL of a command.
        name: unique name; None: the model's file name without suffix.
        data, eval, train, metric: see `workflow.survey_job.SurveyedNetwork`.
        shape, constant, weights, example_shape: as the options of these names.
    """

    model: Text
    name: Text | None = None
    shape: list[Text] = []
    constant: list[Text] = []
    weights: Text | None = None
    example_shape: Text | None = None

    @property
    def title(self) -> str:
        """The name, or that of the model's file."""
        return self.name or (self.model.partition(":")[0] if _is_factory(self.model) else Path(self.model).stem)


class _List(_NamedData):
    network: list[ListedNetwork] = Field(min_length=1)


def read_network_list(path: Path, otherwise: Mapping[str, str | None]) -> list[ListedNetwork]:
    """Read and check a list of networks; paths become relative to the current folder.

    Args:
        path: the file.
        otherwise: `data`, `eval`, `train`, `metric` for networks for which the file names none.
    Raises:
        UsageError: not TOML; a key is missing, unknown or of the wrong kind; or two networks have one name.
    """
    try:
        content = read_toml(path)
    except UnreadableError as error:
        raise UsageError(f"{path}: expected a TOML list of networks, got one that cannot be read ({error})") from error
    try:
        listed = _List.model_validate(content)
    except ValidationError as error:
        unknown = [one for one in error.errors() if one["type"] == "extra_forbidden"]  # the reason of what is missing
        raise UsageError(f"{path}: {_sentence([*unknown, *error.errors()][0])}") from error
    networks = []
    for network in listed.network:
        found: dict[str, str | None] = {"name": network.title}
        for key in _NamedData.model_fields:
            named = getattr(network, key) or getattr(listed, key)
            if named is None:
                found[key] = otherwise.get(key)
            else:
                found[key] = named if key == "metric" else _from(path, named)
            if key in ("data", "eval") and found[key] is None:
                raise UsageError(
                    f"{path}: network {network.title}: expected a key `{key}`, here or at the top, got none; add it, "
                    f"or give --{key}"
                )
        found["model"] = network.model if _is_factory(network.model) else _from(path, network.model)
        found["weights"] = None if network.weights is None else _from(path, network.weights)
        networks.append(network.model_copy(update=found))
    names = [network.title for network in networks]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(f"{path}: expected unique names, got {twice!r} more than once; give each network a `name`")
    return networks


def _from(path: Path, name: str) -> str:
    return os.path.join(path.parent, name)


def _is_factory(model: str) -> bool:
    return ":" in model and not os.path.splitdrive(model)[0]


def _sentence(error: Any) -> str:
    places = [f"{place}" if isinstance(place, str) else f"[{place + 1}]" for place in error["loc"]]
    key = ".".join(places).replace(".[", " ").replace("]", "")
    if error["type"] == "extra_forbidden":
        known = sorted(ListedNetwork.model_fields if key.startswith("network ") else _List.model_fields)
        near = get_close_matches(str(error["loc"][-1]), known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return f"{key}: unknown key; known are {', '.join(known)}{hint}"
    if error["type"] == "missing" or error["loc"] == ("network",):
        return f"{key}: expected a table [[network]] with a `model` for each network, got {_got(error)}"
    return f"{key}: {schema_error(error)}"


def _got(error: Any) -> str:
    if error["type"] == "missing":
        return "none" if error["loc"] == ("network",) else "one without"
    return "[network] with single brackets" if isinstance(error["input"], dict) else repr(error["input"])
