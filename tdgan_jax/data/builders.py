"""Datasets by name: find the builder, prepare the dataset, open the prepared one.

A dataset is a folder of the package `data_builders`. TensorFlow is never needed, and
tensorflow_datasets is imported only when a function here is called, so that importing this module
costs nothing.
"""

import contextlib
import difflib
import errno
import importlib
import io
import os
import pkgutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from tdgan_jax.data.tfds_advice import drop_needless_advice
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.preparation.build_settings import SUBJECT_PATTERN, check_subject_pattern, differences
from tdgan_jax.preparation.staging import move_into_place, staging_folder

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

    from tdgan_jax.faces.preparation import Cropping
    from tdgan_jax.preparation.source_builder import OnBadFile

    DatasetBuilder: TypeAlias = tfds.core.DatasetBuilder


_CANNOT_WRITE = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.EEXIST,
        errno.ENOTDIR,
    }
)


class AlreadyPrepared(UserError):
    """The dataset is there already, as it was asked for, and was not to be replaced."""


def known_datasets() -> tuple[str, ...]:
    """Lists the datasets that have a builder.

    Returns:
        Names in alphabetical order.
    """
    package = importlib.import_module("data_builders")
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
    return importlib.import_module(f"data_builders.{name}.{name}_dataset_builder").Builder


def needs_source(name: str) -> bool:
    """Tells whether a dataset is built from files that the user downloads.

    Args:
        name: Name of a dataset.

    Returns:
        False for datasets that a program draws.

    Raises:
        UsageError: If there is no such dataset.
    """
    from tdgan_jax.preparation.source_builder import SourceBuilder

    return issubclass(builder_class(name), SourceBuilder)


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
            f"the dataset {_title(builder)} in {builder.data_path} lacks {lost}; build it again:\n"
            f"  {_prepare_command(builder, config, data_dir)} --overwrite"
        )
    return builder


def prepare_dataset(
    name: str,
    source: str | os.PathLike[str] | None = None,
    *,
    config: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    subject_pattern: str | None = None,
    cropping: "Cropping | None" = None,
    on_bad_file: "OnBadFile" = "stop",
    partial: bool = False,
    overwrite: bool = False,
    show_progress: bool = False,
) -> "DatasetBuilder":
    """Builds a dataset, wholly or not at all.

    The build goes into a hidden folder in `data_dir` and is moved into place when it is complete:
    an interrupted one leaves nothing, and a dataset that is to be replaced stays until then.
    What a killed process (`kill -9`) left there is removed by the next call.

    Args:
        name: Name of the dataset.
        source: Folder or zip file with the owner's files; None for datasets that are drawn.
        config: Builder configuration; the builder's first one by default.
        data_dir: Where datasets are kept; TFDS's default if None.
        subject_pattern: For `image_folder`, the regular expression whose first group is the
            subject in the name of an image file.
        cropping: How faces are found in the photographs and cut out; whole images by default.
        on_bad_file: `stop` at a damaged or missing file, or `skip` and list such files in
            `skipped_files.csv` beside the dataset.
        partial: Whether a source with other counts than the documented ones is fine.
        overwrite: Whether to replace a dataset that is prepared already.
        show_progress: Whether to show a progress bar on stderr.

    Returns:
        The builder of the prepared dataset, as `open_dataset` gives it.

    Raises:
        AlreadyPrepared: If the dataset is there and `overwrite` is false.
        UserError: If the dataset is there with other settings, the source is wrong or damaged, or
            the dataset cannot be written; the message names the file or the first difference.
        UsageError: If the dataset or configuration is unknown, a source is missing, or the
            dataset takes no subject pattern or no cropping.
    """
    target = new_builder(name, config, data_dir)
    build_options: dict[str, Any] = {}
    if needs_source(name):
        if source is None:
            raise UsageError(
                f"{name} is built from files that you download; add --source PATH\n"
                f"{target.MANUAL_DOWNLOAD_INSTRUCTIONS}"
            )
        if not Path(source).expanduser().exists():
            raise UserError(f"the source {source} does not exist")
        build_options = {
            "source": os.fspath(source),
            "on_bad_file": on_bad_file,
            "partial": partial,
            "show_progress": show_progress,
        }
        check_subject_pattern(name, subject_pattern)
        if subject_pattern is not None:
            build_options[SUBJECT_PATTERN] = subject_pattern
        build_options["cropping"] = cropping
    elif source is not None:
        raise UsageError(f"{name} is drawn by a program and takes no --source")
    elif cropping is not None:
        raise UsageError(f"{name} is drawn by a program; its faces need not be found")
    if target.data_path.exists() and not overwrite:
        is_there = f"{_title(target)} is already prepared in {target.data_path}"
        unlike = build_options and differences(
            open_dataset(name, config, data_dir).info.metadata or {},
            cropping=cropping,
            subject_pattern=subject_pattern,
            partial=partial,
        )
        if unlike:
            raise UserError(
                f"{is_there}, but with {', '.join(unlike)}; build it again with --overwrite, or "
                "give another --data-dir"
            )
        raise AlreadyPrepared(f"{is_there}; --overwrite builds it again")
    root = Path(target.data_dir_root).expanduser()
    try:
        with staging_folder(root, name) as staging:
            # TFDS draws its own bars where the builder has none.
            _build(
                new_builder(name, config, staging, **build_options),
                tfds_bars=show_progress and not build_options,
            )
            move_into_place(staging, root, Path(target.data_path))
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        raise UserError(f"cannot write {_title(target)} to {root}: {error}") from error
    return open_dataset(name, config, data_dir)


def _nearest(word: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    listed = f"known are {', '.join(known)}"
    return f"did you mean {near[0]!r}? {listed}" if near else listed


def _title(builder: "DatasetBuilder") -> str:
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
    lines = [f"the dataset {_title(builder)} is not prepared in {builder.data_dir_root}."]
    others = sorted(path.name for path in builder.data_path.parent.glob("*.*.*"))
    if others:
        lines[0] += f" (Version {others[-1]} is there; this release needs {builder.version}.)"
    lines += ["Prepare it with", f"  {_prepare_command(builder, config, data_dir)}"]
    if needs_source(builder.name):
        lines += ["where PATH is the folder or zip file that you downloaded."]
        lines += [str(builder.MANUAL_DOWNLOAD_INSTRUCTIONS)]
    return "\n".join(lines)


def _build(builder: "DatasetBuilder", *, tfds_bars: bool) -> None:
    import tensorflow_datasets as tfds

    (tfds.enable_progress_bar if tfds_bars else tfds.disable_progress_bar)()
    # TFDS prints two paragraphs that name the staging folder.
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare()


def ensure_drawn_datasets(data: Any, *, show_progress: bool) -> None:
    """Prepares those datasets of a configuration that a program draws, where they are missing.

    Args:
        data: The configuration's `data` section.
        show_progress: Whether to say so on stderr.

    Raises:
        UserError: If a dataset cannot be written.
    """
    for source in (data.get("faces"), data.expressions):
        if source is None or needs_source(source.dataset):
            continue
        config, directory = source.builder_config or None, data.directory or None
        if new_builder(source.dataset, config, directory).data_path.exists():
            continue
        if show_progress:
            print(f"drawing the dataset {source.dataset} (once)", file=sys.stderr, flush=True)
        prepare_dataset(source.dataset, config=config, data_dir=directory)
