"""What `all.py` measures: the table of the six systems, and the tour of an accelerator.

An entry is one process. Its name says the script, the system and what is special about it; the
targets are ratios of JAX to PyTorch that the project aims at.
"""

from collections.abc import Iterator
from typing import NamedTuple


class Entry(NamedTuple):
    """One benchmark.

    Attributes:
        name: `script`, or `script:system:...`.
        arguments: Command line of the script in full size.
        quick: The same in the smallest size.
        expected_seconds: What the tour of an accelerator keeps for it; a guess.
    """

    name: str
    arguments: str
    quick: str
    expected_seconds: float = 0.0

    @property
    def script(self) -> str:
        """The module in this folder."""
        return self.name.partition(":")[0]


class System(NamedTuple):
    """The configurations of a system.

    Attributes:
        paper: Of the paper's size.
        paper_batch: Examples a step that two cores train in seconds.
        small: Of a size for two cores.
        tiny: Of the smallest size.
    """

    paper: str
    paper_batch: int
    small: str
    tiny: str


SYSTEMS = {
    "tdgan": System("tdgan_raf", 16, "tdgan_fer2013:cpu", "tdgan_synthetic:tiny"),
    "ifgan": System("ifgan_ck_plus", 2, "ifgan_synthetic", "ifgan_synthetic:tiny"),
    "classifier": System("classifier_fer2013", 16, "recogniser_ferplus", "recogniser_ferplus:tiny"),
    "esr": System("esr_affectnet", 16, "esr_synthetic", "esr_synthetic:tiny"),
    "ma_net": System("ma_net_raf", 8, "ma_net_synthetic", "ma_net_synthetic:tiny"),
    "emotion_gcn": System(
        "emotion_gcn_affectnet", 8, "emotion_gcn_synthetic", "emotion_gcn_synthetic:tiny"
    ),
}
VARIANTS = ("eager", "channels_last", "compiled")
TARGET = 1.0
TARGETS = {("train_step", "tdgan", "compiled"): 1.25}
# The network and the sizes of the recogniser of FER+, on drawn faces.
LIKE_FERPLUS = (
    "--config configs/recogniser_ferplus.py{variant} --config.data.targets=label"
    " --config.data.expressions.dataset=synthetic_faces --config.data.expressions.builder_config=64"
    " --config.data.additional_training_datasets= --config.training.epochs={epochs}"
)


def target_of(script: str, family: str, variant: str) -> float:
    """The ratio that is aimed at."""
    return TARGETS.get((script, family, variant), TARGET)


def path_of(name: str) -> str:
    """The file of a configuration, with its variant."""
    file, colon, variant = name.partition(":")
    return f"configs/{file}.py{colon}{variant}"


def table_entries() -> Iterator[Entry]:
    """The table of six systems, for an idle machine without an accelerator."""
    for family, system in SYSTEMS.items():
        tiny = f"--config {path_of(system.tiny)} --batch-size 4 --commonest --repeats 1 --torch"
        sizes = {
            "paper": f"--config {path_of(system.paper)} --batch-size {system.paper_batch}",
            "small": f"--config {path_of(system.small)}",
        }
        for size, chosen in sizes.items():
            # One variant a process: the memory of another twin slows a step.
            for variant in VARIANTS:
                full = f"{chosen} --commonest --repeats 2 --torch {variant}"
                yield Entry(f"train_step:{family}:{size}:{variant}", full, f"{tiny} {variant}")
    for family, system in SYSTEMS.items():
        tiny = f"--config {path_of(system.tiny)} --count 4 --batch-size 2 --repeats 1 --torch eager"
        variants = " ".join(VARIANTS)
        for size, config, more in (
            ("paper", system.paper, "--count 32 --batch-size 16 --repeats 2"),
            ("small", system.small, "--count 256 --batch-size 32 --repeats 3"),
        ):
            full = f"--config {path_of(config)} {more} --torch {variants}"
            yield Entry(f"recognition:{family}:{size}", full, tiny)
    for family, system in SYSTEMS.items():
        tiny = f"--config {path_of(system.tiny)} --batch-sizes 4 --image-sizes 32 --repeats 1"
        yield Entry(f"growth:{family}", f"--config {path_of(system.small)}", tiny)
    yield Entry("many_examples", "--examples 10000 400000", "--examples 500")
    yield Entry("input_pipeline", "", "--images 32 --batch-size 8 --repeats 1")
    yield Entry(
        "generation",
        "--torch --repeats 2",
        "--torch --repeats 1 --batch-size 1",
    )
    yield Entry("face_detection", "", "--images 2")
    yield Entry(
        "short_trainings:folds",
        "--config configs/tdgan_synthetic.py --together 2",
        "--config configs/classifier_synthetic.py:tiny --together 2",
    )


def accelerator_entries() -> Iterator[Entry]:
    """The tour of one accelerator, the most wanted first: what is left out comes last."""
    for family in SYSTEMS:
        yield _accelerator_step(family, "float32", "--torch eager", "eager", 25)
    for family, system in SYSTEMS.items():
        full = f"--config {path_of(system.paper)} --count 256 --batch-size 128 --torch eager"
        tiny = f"--config {path_of(system.tiny)} --count 2 --batch-size 2 --repeats 1 --torch eager"
        yield Entry(f"recognition:{family}", full, tiny, 12)
    yield Entry("input_pipeline", "", "--images 32 --batch-size 8 --repeats 1", 12)
    # One of them shows that PyTorch compiles; all would take minutes on a CPU.
    for family in sorted(SYSTEMS, key="classifier".__ne__):
        options = "--config.precision=bfloat16 --torch compiled_bfloat16"
        quick = "compiled_bfloat16" if family == "classifier" else "bfloat16"
        yield _accelerator_step(family, "bfloat16", options, quick, 35)
    yield Entry(
        "short_trainings:folds",
        "--config configs/tdgan_synthetic.py:tiny --together 4",
        "--config configs/classifier_synthetic.py:tiny --config.training.epochs=1 --together 2",
        30,
    )
    yield Entry(
        "short_trainings:like_ferplus",
        LIKE_FERPLUS.format(variant="", epochs=4),
        LIKE_FERPLUS.format(variant=":tiny", epochs=1)
        + " --config.data.expressions.train_split=train[:140]"
        " --config.data.expressions.test_split=test[:45]",
        60,
    )


def _accelerator_step(
    family: str, precision: str, options: str, quick_variant: str, seconds: float
) -> Entry:
    system = SYSTEMS[family]
    # TDGAN without its discriminators and ESR of two branches are compiled in half the time.
    smaller = {
        "tdgan": "--config.training.face_discriminator_gap=3"
        " --config.training.expression_discriminator_gap=3",
        "esr": "--config.model.num_branches=2 --config.training.epochs=2",
    }.get(family, "")
    tiny = (
        f"--config {path_of(system.tiny)} --batch-size 4 --commonest --repeats 1 {smaller} "
        f"--config.precision={precision} --torch {quick_variant}"
    )
    full = f"--config {path_of(system.paper)} --commonest --repeats 3 {options}"
    return Entry(f"train_step:{family}:{precision}", full, tiny, seconds)
