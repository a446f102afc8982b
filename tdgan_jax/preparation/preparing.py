"""Building datasets: wholly or not at all, into a hidden folder that is moved into place."""

import contextlib
import errno
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tdgan_jax.data.builders import (
    dataset_title,
    needs_source,
    new_builder,
    open_dataset,
)
from tdgan_jax.errors import UsageError, UserError
from tdgan_jax.files import reason
from tdgan_jax.preparation.build_settings import SUBJECT_PATTERN, check_subject_pattern, differences
from tdgan_jax.preparation.staging import move_into_place, staging_folder

if TYPE_CHECKING:
    from tdgan_jax.data.builders import DatasetBuilder
    from tdgan_jax.faces.preparation import Cropping
    from tdgan_jax.preparation.source_builder import OnBadFile

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
    _check_folder_name(data_dir)
    target = new_builder(name, config, data_dir)
    build_options: dict[str, Any] = {}
    if needs_source(name):
        if source is None:
            raise UsageError(
                f"{name} is built from files that you download; add --source PATH\n"
                f"{target.MANUAL_DOWNLOAD_INSTRUCTIONS}"
            )
        if not os.path.exists(os.path.expanduser(source)):
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
        is_there = f"{dataset_title(target)} is already prepared in {target.data_path}"
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
    root = Path(os.path.expanduser(target.data_dir_root))
    _make_folder(root, dataset_title(target))
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
        raise UserError(f"cannot write {dataset_title(target)} to {root}: {error}") from error
    return open_dataset(name, config, data_dir)


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


def _check_folder_name(data_dir: str | os.PathLike[str] | None) -> None:
    """Refuses what no file system can have for a folder, before TFDS looks there."""
    try:
        os.path.lexists(os.fspath(data_dir or "."))
        is_usable = data_dir is None or "\0" not in os.fspath(data_dir)
    except ValueError:  # what cannot be encoded
        is_usable = False
    if not is_usable:
        raise UserError("the name of the folder for datasets holds a null character")


def _make_folder(folder: Path, title: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {title} to {folder}: {reason(error)}") from error


def _build(builder: "DatasetBuilder", *, tfds_bars: bool) -> None:
    import tensorflow_datasets as tfds

    from tdgan_jax.data.label_columns import write_columns

    (tfds.enable_progress_bar if tfds_bars else tfds.disable_progress_bar)()
    # TFDS prints two paragraphs that name the staging folder.
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare()
    write_columns(builder)
