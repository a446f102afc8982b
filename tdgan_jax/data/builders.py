"""Datasets by name: find the builder, open the prepared dataset.

A dataset is a folder of `data_builders`. TensorFlow is never needed, and
tensorflow_datasets is imported only when a function here is called, so that importing this module
costs nothing.
"""

import difflib
import importlib
import os
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tdgan_jax.data.tfds_advice import drop_needless_advice
from tdgan_jax.errors import UsageError, UserError

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

    DatasetBuilder: TypeAlias = tfds.core.DatasetBuilder


def known_datasets() -> tuple[str, ...]:
    """Lists the datasets that have a builder.

    Returns:
        Names in alphabetical order.
    """
    package = importlib.import_module("tdgan_jax.data_builders")
    return tuple(
        sorted(
            module.name
            for module in pkgutil.iter_modules(package.__path__)
            if module.ispkg
            and any(
                (Path(folder) / module.name / f"{module.name}_dataset_builder.py").is_file()
                for folder in package.__path__
            )
        )
    )


def builder_class(name: str) -> "type[DatasetBuilder]":
    """Imports the builder of a dataset.

    Args:
        name: Name of a folder of `data_builders`.

    Returns:
        The TFDS builder class.

    Raises:
        UsageError: If there is no such dataset; the message names the nearest known one.
    """
    known = known_datasets()
    if name not in known:
        raise UsageError(f"unknown dataset {name!r}; {_nearest(name, known)}")
    drop_needless_advice()
    from etils import epath

    module = importlib.import_module(f"tdgan_jax.data_builders.{name}.{name}_dataset_builder")
    # TFDS looks for the README below the package, where a checkout has it beside it.
    module.Builder.pkg_dir_path = epath.Path(str(module.__file__)).parent
    return module.Builder


def needs_source(name: str) -> bool:
    """Tells whether a dataset is built from files that the user downloads.

    Args:
        name: Name of a dataset.

    Returns:
        False for datasets that a program draws.

    Raises:
        UsageError: If there is no such dataset.
    """
    return bool(getattr(builder_class(name), "NEEDS_SOURCE", False))


def new_builder(
    name: str, config: str | None, data_dir: str | os.PathLike[str] | None, **options: Any
) -> "DatasetBuilder":
    """Makes a builder without looking whether its dataset is prepared.

    Args:
        name: Name of the dataset.
        config: Its builder configuration; the builder's first one by default.
        data_dir: Where datasets are kept; TFDS's default if None.
        **options: Further arguments of the builder, such as `source`.

    Returns:
        The TFDS builder.

    Raises:
        UsageError: If the dataset or the configuration is unknown.
    """
    cls: Any = builder_class(name)
    known = tuple(cls.builder_configs)
    chosen: Any = config
    if config is not None and config not in known:
        chosen = cls.own_config(config) if needs_source(name) else None
        known = (*known, *(one.name for one in getattr(cls, "FURTHER_CONFIGS", ())))
        if chosen is None and not known:
            raise UsageError(f"{name} has no configurations; leave {config!r} out")
        if chosen is None:
            raise UsageError(f"{name} has no configuration {config!r}; {_nearest(config, known)}")
    where = None if data_dir is None else os.fspath(Path(data_dir).expanduser())
    return cls(config=chosen, data_dir=where, file_format="array_record", **options)


def open_dataset(
    name: str, config: str | None = None, data_dir: str | os.PathLike[str] | None = None
) -> "DatasetBuilder":
    """Opens a prepared dataset; `as_data_source(split)` of the result reads it.

    Args:
        name: Name of the dataset.
        config: Its builder configuration; the builder's first one by default.
        data_dir: Where datasets are kept; TFDS's default if None (the environment variable
            `TFDS_DATA_DIR`, else `~/tensorflow_datasets`).

    Returns:
        The TFDS builder.

    Raises:
        UserError: If the dataset is not prepared there or not whole; the message says which
            command prepares it and where to ask for the data.
        UsageError: If the dataset or the configuration is unknown.
    """
    builder = new_builder(name, config, data_dir)
    if not builder.data_path.exists():
        raise UserError(_how_to_prepare(builder, config, data_dir))
    missing = [
        path
        for split in builder.info.splits.values()
        for path in split.filepaths
        if not path.exists()
    ]
    if missing or not builder.info.splits:
        lost = missing[0].name if missing else "dataset_info.json"
        raise UserError(
            f"the dataset {dataset_title(builder)} in {builder.data_path} lacks {lost}; build it "
            "again:\n"
            f"  {_prepare_command(builder, config, data_dir)} --overwrite"
        )
    return builder


def _nearest(word: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    listed = f"known are {', '.join(known)}"
    return f"did you mean {near[0]!r}? {listed}" if near else listed


def dataset_title(builder: "DatasetBuilder") -> str:
    """Name and configuration of a dataset, e.g. `fer2013/full`."""
    config = builder.builder_config
    return f"{builder.name}/{config.name}" if config else builder.name


def _prepare_command(
    builder: "DatasetBuilder", config: str | None, data_dir: str | os.PathLike[str] | None
) -> str:
    command = f"tdgan-jax prepare {builder.name}"
    if needs_source(builder.name):
        command += " --source PATH"
    if config is not None:
        command += f" --config {config}"
    if data_dir is not None:
        command += f" --data-dir {os.fspath(data_dir)}"
    return command


def _how_to_prepare(
    builder: "DatasetBuilder", config: str | None, data_dir: str | os.PathLike[str] | None
) -> str:
    lines = [f"the dataset {dataset_title(builder)} is not prepared in {builder.data_dir_root}."]
    others = sorted(path.name for path in builder.data_path.parent.glob("*.*.*"))
    if others:
        lines[0] += f" (Version {others[-1]} is there; this release needs {builder.version}.)"
    lines += ["Prepare it with", f"  {_prepare_command(builder, config, data_dir)}"]
    if needs_source(builder.name):
        lines += ["where PATH is the folder or zip file that you downloaded."]
        lines += [str(builder.MANUAL_DOWNLOAD_INSTRUCTIONS)]
    return "\n".join(lines)
