"""The page: a tab for photographs, for videos, and for what a generator makes.

Files are uploaded as they are and read by the readers of the commands, never by Gradio.
"""

import html
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr  # pyright: ignore[reportMissingImports]
from gradio.themes import Default  # pyright: ignore[reportMissingImports]

from tdgan_jax.demo import answers
from tdgan_jax.demo.answers import Table
from tdgan_jax.errors import UserError

# None of them comes from the network.
THEME = Default(
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
    primary_hue="blue",
)
CSS = """
.gradio-container { max-width: 1100px !important; width: 100% !important; margin: auto; }
.gradio-container .rows { overflow-x: auto; max-width: 100%; contain: inline-size; }
.gradio-container .rows :is(table, thead, tbody, tr) { border: 0 !important; }
.gradio-container .rows table { border-collapse: collapse;
    font-size: 0.85rem; white-space: nowrap; margin: 0; }
.gradio-container .rows th, .gradio-container .rows td { padding: 0.25rem 0.6rem;
    text-align: right; border: 0; border-bottom: 1px solid var(--border-color-primary); }
.gradio-container .rows th:first-child, .gradio-container .rows td:first-child { text-align: left; }
.message { margin: 0; padding: 0.5rem 0.75rem; border-left: 4px solid var(--color-accent);
    background: var(--background-fill-secondary); overflow-wrap: anywhere; }
.picture .image-container { padding-top: 2.25rem; }
#photograph-circumplex img { max-height: 340px; object-fit: contain; }
#generated img { min-height: 160px; object-fit: contain; }
"""
_MOST_ROWS = 200  # of a table on the page; the csv has them all
_FACES = [("are looked for (mtcnn)", "mtcnn"), ("fill the whole picture (none)", "none")]
# One at a time: the models share the machine.
_QUEUE: dict[str, Any] = {"concurrency_id": "models", "api_visibility": "private"}


def build_page(models: Mapping[str, Any], generators: list[str], folder: Path) -> gr.Blocks:
    """Builds the page.

    Args:
        models: Opened models by what the user calls them; the first is chosen at the start.
        generators: Names of those that generate; without one there is no tab for it.
        folder: Where the answers go; deleted by the caller.
    """
    with gr.Blocks(title="tdgan-jax demo", analytics_enabled=False) as page:
        gr.HTML(
            "<h1>Facial expressions</h1><p>Files stay on this machine and are deleted when the "
            "program ends. A prediction says what a face shows, not what a person feels.</p>"
        )
        with gr.Tab("Photograph"):
            _add_photograph(models, folder)
        with gr.Tab("Video"):
            _add_video(models, folder)
        if generators:
            with gr.Tab("Transfer"):
                _add_generator(models, generators, folder)
    return page


def table_html(table: Table) -> str:
    """The rows of `predict` as an HTML table, values as in its csv."""

    def line(cell: str, values: list[Any]) -> str:
        texts = ("" if value is None else html.escape(str(value)) for value in values)
        return "<tr>" + "".join(f"<{cell}>{text}</{cell}>" for text in texts) + "</tr>"

    rows = [line("td", [row[name] for name in table.columns]) for row in table.rows[:_MOST_ROWS]]
    head = line("th", list(table.columns))
    more = len(table.rows) - _MOST_ROWS
    note = f"<p>{more:,} more rows are in the csv.</p>" if more > 0 else ""
    body = f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>{note}"
    return f'<div class="rows" tabindex="0">{body}</div>'


def _add_photograph(models: Mapping[str, Any], folder: Path) -> None:
    model, faces = _add_choices(list(models))
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            file = gr.File(label="Photograph", elem_id="photograph", height=140)
            with gr.Accordion("Webcam", open=False):
                webcam = gr.Image(
                    label="Webcam",
                    sources=["webcam"],
                    type="filepath",
                    image_mode=None,
                    format="png",
                )
        with gr.Column(scale=3, min_width=280):
            message = gr.HTML(elem_id="photograph-message", visible=False)
            annotated = _picture("What the model sees", "photograph-annotated")
            circumplex = _picture("Valence and arousal", "photograph-circumplex")
    table = gr.HTML(elem_id="photograph-rows", visible=False)
    download = _download("Download the table (csv)")
    shown = gr.State(None)

    def answer(path: str | None, name: str, detect: str) -> tuple[Any, ...]:
        found = answers.photograph_answer(str(path), models[name], detect, folder)
        return _recognised(found.message, found.annotated, found.circumplex, found.table)

    outputs = [message, annotated, circumplex, table, download]
    action = _answering(answer, len(outputs))

    def take(path: str | None, *given: Any) -> Iterator[tuple[Any, ...]]:
        for found in action(path, *given):
            yield (*found, path)

    # One event each: of pairs that follow one another, those of a removal and an upload could mix.
    for change, source in ((file.upload, file), (file.clear, file), (webcam.input, webcam)):
        change(take, [source, model, faces], [*outputs, shown], **_QUEUE)
    for choice in (model, faces):
        choice.input(action, [shown, model, faces], outputs, **_QUEUE)


def _add_video(models: Mapping[str, Any], folder: Path) -> None:
    model, faces = _add_choices(list(models))
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            file = gr.File(label="Video", elem_id="video", height=140)
            every = gr.Slider(1, 30, value=1, step=1, label="Look at every N-th frame")
            with gr.Row():
                start = gr.Button("Recognise", variant="primary", elem_id="video-start")
                stop = gr.Button("Stop", elem_id="video-stop", interactive=False)
        with gr.Column(scale=3, min_width=280):
            message = gr.HTML(elem_id="video-message", visible=False)
            annotated = gr.Video(
                label="What the model sees",
                show_label=False,
                visible=False,
                elem_id="video-annotated",
            )
            curves = _picture("Over time", "video-curves")
    table = gr.HTML(elem_id="video-rows", visible=False)
    download = _download("Download the table (csv)")

    def answer(path: str | None, name: str, detect: str, every: float) -> Iterator[tuple[Any, ...]]:
        looking = answers.video_answer(str(path), models[name], detect, folder, every=int(every))
        with closing(looking):
            for found in looking:
                if isinstance(found, int):
                    count = _message(f"{found:,} frames looked at")
                    yield (count, *(_shown(None) for _ in range(4)), gr.update(interactive=True))
                    continue
                told = _recognised(found.message, found.annotated, found.curves, found.table)
                yield (*told, gr.update(interactive=False))

    outputs = [message, annotated, curves, table, download, stop]
    action = _answering(answer, 5, more=(gr.update(interactive=False),))
    running = start.click(action, [file, model, faces, every], outputs, **_QUEUE)
    stop.click(
        lambda: (_message("stopped"), gr.update(interactive=False)),
        None,
        [message, stop],
        cancels=[running],
        queue=False,
    )


def _add_generator(models: Mapping[str, Any], generators: list[str], folder: Path) -> None:
    model, detect = _add_choices(generators)
    with gr.Row():
        faces = gr.File(label="Faces", file_count="multiple", elem_id="faces", height=140)
        expressions = gr.File(
            label="Expressions", file_count="multiple", elem_id="expressions", height=140
        )
    frames = gr.Slider(2, 32, value=16, step=1, label="Frames of an interpolation")
    with gr.Row():
        transfer = gr.Button("Transfer", variant="primary", elem_id="transfer-start")
        interpolate = gr.Button("Interpolate", elem_id="interpolate-start")
    gr.HTML(
        "<p>Transfer puts each expression on each face. Interpolate takes one face and two "
        "expressions, or two faces and one expression.</p>"
    )
    message = gr.HTML(elem_id="generator-message", visible=False)
    generated = _picture("Generated", "generated")
    strip = _picture("From one to the other", "strip")

    def put(face: Any, expression: Any, name: str, detect: str) -> tuple[Any, ...]:
        path = answers.transfer_answer(face or [], expression or [], models[name], detect, folder)
        return _message(""), _shown(path), _shown(None)

    def move(face: Any, expression: Any, name: str, detect: str, number: float) -> tuple[Any, ...]:
        animation, frames_path = answers.interpolation_answer(
            face or [], expression or [], models[name], detect, folder, num_frames=int(number)
        )
        return _message(""), _shown(animation), _shown(frames_path)

    given: list[Any] = [faces, expressions, model, detect]
    outputs = [message, generated, strip]
    transfer.click(_answering(put, 3, may_be_empty=True), given, outputs, **_QUEUE)
    interpolate.click(_answering(move, 3, may_be_empty=True), [*given, frames], outputs, **_QUEUE)


def _add_choices(names: list[str]) -> tuple[gr.Dropdown, gr.Radio]:
    with gr.Row():
        model = gr.Dropdown(names, value=names[0], label="Model", min_width=200)
        faces = gr.Radio(_FACES, value="mtcnn", label="Faces", min_width=280)
    return model, faces


def _answering(
    answer: Callable[..., Any],
    num_outputs: int,
    *,
    may_be_empty: bool = False,
    more: tuple[Any, ...] = (),
) -> Callable[..., Iterator[tuple[Any, ...]]]:
    """What a user does wrong becomes the message, and everything else is cleared.

    Args:
        answer: Returns the values of the outputs, or yields them several times.
        num_outputs: The message and what is hidden while it has no value.
        may_be_empty: Whether `answer` is asked without a file too.
        more: Values of further outputs where there is no answer.
    """

    def action(source: Any, *given: Any) -> Iterator[tuple[Any, ...]]:
        nothing = (*(_shown(None) for _ in range(num_outputs - 1)), *more)
        if source is None and not may_be_empty:
            yield (_message(""), *nothing)
            return
        try:
            found = answer(source, *given)
            if isinstance(found, tuple):
                yield found
            else:
                yield from found
        except UserError as error:
            yield (_message(str(error)), *nothing)

    return action


def _recognised(
    message: str, annotated: Path, drawing: Path | None, table: Table
) -> tuple[Any, ...]:
    """Values of the message, the annotated file, the drawing, the table and its download."""
    rows, file = _shown(table_html(table)), _shown(table.file)
    return _message(message), _shown(annotated), _shown(drawing), rows, file


def _message(text: str) -> Any:
    shown = f'<p class="message" role="status">{html.escape(text)}</p>' if text else None
    return _shown(shown)


def _picture(label: str, elem_id: str) -> gr.Image:
    return gr.Image(
        label=label,
        show_label=False,  # it would lie on the picture
        visible=False,
        interactive=False,
        buttons=["download", "fullscreen"],
        elem_classes="picture",
        elem_id=elem_id,
    )


def _download(label: str) -> gr.DownloadButton:
    return gr.DownloadButton(label, visible=False)


def _shown(value: Path | str | None) -> Any:
    """A new value of a component that is hidden while it has none."""
    return gr.update(value=None if value is None else str(value), visible=value is not None)
