"""Eight fake CPU devices for the whole suite; must be set before jax is imported."""

import contextlib
import importlib.metadata
import os
from collections.abc import Iterator
from pathlib import Path

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
    # A third of the time to compile the tests' small networks, whose run time does not matter.
    " --xla_backend_optimization_level=0 --xla_cpu_parallel_codegen_split_count=1"
)
if importlib.metadata.version("jaxlib").startswith("0.10."):  # later ones know only emitters
    os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"

import jax  # noqa: E402
import pytest  # noqa: E402
from filelock import FileLock  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")


# Minutes each: whoever of the parallel processes gets one last lets the others wait.
LONG_FILES = (
    "tests/training/test_loop.py",
    "tests/families/tdgan/test_step.py",
    "tests/training/test_cross_validation.py",
    "tests/steps/test_parallel.py",
    "tests/families/emotion_gcn/test_golden_training.py",
    "tests/benchmarks/test_train_step.py",
    "tests/families/classifier/test_run.py",
    "tests/processes/test_runs.py",
    "tests/families/ma_net/test_run.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the long files."""
    places = {file: place for place, file in enumerate(LONG_FILES)}
    items.sort(key=lambda item: places.get(item.nodeid.split("::")[0], len(LONG_FILES)))


@contextlib.contextmanager
def runs_on(num_devices: int) -> Iterator[None]:
    """Lets runs inside the tests' process take so many devices."""
    from tdgan_jax.evaluation import runs
    from tdgan_jax.steps.parallel import make_mesh
    from tdgan_jax.training import opening as run_opening

    with pytest.MonkeyPatch.context() as patch:
        for module in (run_opening, runs):
            patch.setattr(module, "make_mesh", lambda: make_mesh(jax.devices()[:num_devices]))
        yield


@pytest.fixture(scope="module")
def four_devices() -> Iterator[None]:
    """Runs inside the tests' process take four devices: eight do not divide a tiny batch."""
    with runs_on(4):
        yield


@pytest.fixture(scope="module")
def one_device() -> Iterator[None]:
    """Runs inside the tests' process take one device, which is quicker for deep networks."""
    with runs_on(1):
        yield


@pytest.fixture(scope="session")
def drawn_datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset directory that holds `synthetic_faces/64`, drawn once for all processes."""
    from tdgan_jax.preparation.preparing import prepare_dataset

    directory = tmp_path_factory.getbasetemp() / "datasets"
    if "PYTEST_XDIST_WORKER" in os.environ:
        directory = directory.parent.parent / "datasets"
    with FileLock(f"{directory}.lock"):
        if not directory.exists():
            prepare_dataset("synthetic_faces", config="64", data_dir=directory)
    return directory


@pytest.fixture(scope="module")
def drawn_folds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A dataset directory with both configurations of `drawn_folds`, a known dataset meanwhile."""
    import tdgan_jax.data_builders as data_builders
    from tdgan_jax.preparation.preparing import prepare_dataset

    builders = str(Path(__file__).parent / "datasets")
    data_builders.__path__.append(builders)
    directory = tmp_path_factory.mktemp("folds")
    for config in ("apart", "shared"):
        prepare_dataset("drawn_folds", config=config, data_dir=directory)
    yield directory
    data_builders.__path__.remove(builders)
