"""The results of `all.py` as Markdown, the targets beside them."""

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.entries import target_of

Result = dict[str, Any]
TWIN_TITLES = {
    "eager": "eager",
    "channels_last": "channels-last",
    "compiled": "`torch.compile`",
    "bfloat16": "autocast",
    "compiled_bfloat16": "compiled autocast",
}


def markdown(results: Sequence[Result]) -> str:
    """All tables.

    Args:
        results: The lines of the file: each what a benchmark printed, with `name` and `machine`.
    """
    good = [result for result in results if not {"error", "skipped"} & result.keys()]
    parts = [_machines(good)]
    for script, title in (("train_step", "Training step"), ("recognition", "Recognition")):
        own = [result for result in good if script_of(result) == script]
        parts += [f"## {title}\n", _compared(script, own)] if own else []
    parts += _section("## Growth of the step\n", _growth_rows(good), _GROWTH_HEAD)
    parts += _section("## Number of examples\n", _example_rows(good), _EXAMPLE_HEAD)
    parts += _section("## Other parts\n", _other_rows(good), ("what", "figure"))
    missing = [
        (result["name"], result.get("error") or result["skipped"])
        for result in results
        if result not in good
    ]
    parts += _section("## Without a figure\n", missing, ("benchmark", "why"))
    return "\n".join(parts)


def script_of(result: Result) -> str:
    """The script that made a result."""
    return result["name"].partition(":")[0]


def _section(title: str, rows: Sequence[Sequence[str]], head: Sequence[str]) -> list[str]:
    return [title, _table(head, rows)] if rows else []


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = (head, ["---"] * len(head), *rows)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _machines(results: Iterable[Result]) -> str:
    lines = []
    for result in results:
        machine, versions = result["machine"], result.get("versions", {})
        known = {name: v for name, v in versions.items() if name in ("jax", "jaxlib")}
        twins = result.get("torch", {}).values()
        known |= next(({"torch": twin["version"]} for twin in twins if "version" in twin), {})
        lines.append(
            f"{result.get('device', 'cpu')}; {machine['cpu']}, {machine['cores']} core(s); Python "
            f"{machine['python']}, " + ", ".join(f"{name} {v}" for name, v in known.items())
        )
    # The longest of a machine names PyTorch too.
    kept = [line for line in lines if not any(line in other for other in lines if other != line)]
    return "".join(f"{line}.\n" for line in dict.fromkeys(kept))


def _compared(script: str, results: Iterable[Result]) -> str:
    """One row for a configuration: the speeds, and the ratio to each way of running PyTorch."""
    rows: dict[str, list[Result]] = {}
    for result in results:
        what = result.get("config") or result["model"]
        precision = result.get("precision", "float32")
        size = f"{result['image_size_px']} px, batch {result['batch_size']}, {precision}"
        rows.setdefault(f"{result['family']}: {what}, {size}", []).append(result)
    twins = [(result, *twin) for own in rows.values() for result in own for twin in _twins(result)]
    variants = [v for v in TWIN_TITLES if any(variant == v for _, variant, _ in twins)]
    head = ["what", "images/s", *(f"over {TWIN_TITLES[v]}" for v in variants), "target", "met"]
    return _table(
        [*head, "compile s", "memory"],
        (_compared_row(script, what, own, variants) for what, own in rows.items()),
    )


def _twins(result: Result) -> list[tuple[str, Result]]:
    return list(result.get("torch", {}).items())


def _compared_row(
    script: str, what: str, own: Sequence[Result], variants: Sequence[str]
) -> list[str]:
    found = {variant: twin for result in own for variant, twin in _twins(result)}
    targets = {v: target_of(script, own[0]["family"], v) for v in found}
    ratios = {variant: twin["ratio"] for variant, twin in found.items() if "ratio" in twin}
    missed = [TWIN_TITLES[v] for v, ratio in ratios.items() if ratio < targets[v]]
    met = ("no: " + ", ".join(missed)) if missed else ("yes" if ratios else "")
    cells = [
        f"{ratios[v]:.2f}" if v in ratios else found[v]["error"] if v in found else ""
        for v in variants
    ]
    highest = {f"{TWIN_TITLES[v]} {t:g}" for v, t in targets.items() if t != 1}
    memory = max((r.get("peak_memory_bytes") or 0 for r in own), default=0)
    return [
        what,
        f"{max(result['images_per_second'] for result in own):.4g}",
        *cells,
        "; ".join(["1", *sorted(highest)]),
        met,
        f"{min(result['compile_seconds'] for result in own):.0f}",
        _mebibytes(memory),
    ]


def _mebibytes(count: int | None) -> str:
    return f"{count / 2**20:,.0f} MiB" if count else ""


_GROWTH_HEAD = ("configuration", "batch", "pixels", "devices", "images/s", "memory a device")
_EXAMPLE_HEAD = ("examples", "open s", "feed s", "first batch s", "a batch s", "memory")


def _growth_rows(results: Iterable[Result]) -> list[list[str]]:
    return [
        [
            result["config"],
            *(str(point[name]) for name in ("batch_size", "image_size_px", "num_devices")),
            f"{point['images_per_second']:.4g}",
            _mebibytes(point["memory_bytes"]),
        ]
        for result in results
        if script_of(result) == "growth"
        for point in result["points"]
    ]


def _example_rows(results: Iterable[Result]) -> list[list[str]]:
    names = ("open_seconds", "feed_seconds", "first_batch_seconds", "batch_seconds")
    return [
        [
            f"{point['examples']:,}",
            *(f"{point[name]:.3f}" for name in names),
            _mebibytes(point["memory_bytes"]),
        ]
        for result in results
        if script_of(result) == "many_examples"
        for point in result["points"]
    ]


def _other_rows(results: Sequence[Result]) -> list[tuple[str, str]]:
    rows = []
    for result in results:
        script = script_of(result)
        if script == "input_pipeline":
            for family, speed in result["images_per_second"].items():
                figure = f"{speed:,.0f} images/s{_times_the_step(results, family, speed)}"
                rows.append((f"input of {family}", figure))
        elif script == "generation":
            figure = f"{result['images_per_second']:.4g} images/s"
            twin = result.get("torch", {}).get("eager")
            ratio = f", {twin['ratio']:.2f} of eager PyTorch" if twin else ""
            rows.append((f"drawing, {result['model']}", figure + ratio))
        elif script == "face_detection":
            rows.append(("face detection", f"{result['images_per_second']:.4g} images/s"))
        elif script == "short_trainings":
            figure = f"{result['seconds_with_compiling']:.0f} s with compiling"
            if "ratio" in result:
                figure += (
                    f"; {result['trainings']} at once {result['ratio']:.2f} times as fast as one "
                    "after the other"
                )
            rows.append((f"training of {result['config']}", figure))
    return rows


def _times_the_step(results: Iterable[Result], family: str, speed: float) -> str:
    consumed = [
        result["images_per_second"]
        for result in results
        if script_of(result) == "train_step" and result["family"] == family
    ]
    return f", {speed / max(consumed):,.0f} times what its fastest step takes" if consumed else ""
