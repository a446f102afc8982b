"""`tdgan-jax demo`: a web page on this machine that shows what models recognise and generate."""

import argparse
import threading
from typing import Any

from tdgan_jax.cli.interruption import sigterm_cleans_up
from tdgan_jax.cli.model_arguments import GENERATOR, RECOGNISER, open_model, positive
from tdgan_jax.errors import UsageError
from tdgan_jax.printing import flush_stdout, print_text

_EXAMPLES = """\
examples:
  tdgan-jax demo
  tdgan-jax demo --model runs/tdgan_fer2013/seed_0 --model exported --port 8000
"""
_LAST_PORT = 65535


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Adds the command's arguments."""
    parser = subparsers.add_parser(
        "demo",
        help="show models in the browser, on this machine alone",
        description="Serves a page at 127.0.0.1, until Ctrl-C: photographs and videos in, boxes, "
        "probabilities and curves out; transfer and interpolation with models that generate. "
        "It asks no other machine for anything; uploaded files are deleted at the end. Needs "
        "Gradio: pip install 'tdgan-jax[demo]'.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        action="append",
        metavar="M",
        help="a run folder, an export or an imported folder, beside pretrained and "
        "pretrained_tdgan; may be given several times, the first is chosen at the start (default: "
        "pretrained)",
    )
    parser.add_argument(
        "--port", type=positive, default=7860, metavar="N", help="of the page (default: 7860)"
    )
    parser.add_argument("--quiet", action="store_true", help="do not print the page's address")
    return parser


def run(args: argparse.Namespace) -> int:
    """Serves the page until it is interrupted.

    Raises:
        UsageError: If there is no such port.
        UserError: If Gradio or a model is missing, or the port is taken.
    """
    if args.port > _LAST_PORT:
        raise UsageError(f"--port {args.port}: the last port is {_LAST_PORT}")
    from tdgan_jax.api import Generates
    from tdgan_jax.demo.server import check_port, require_gradio, serving

    check_port(args.port)
    require_gradio()
    names = dict.fromkeys([*(args.model or ()), RECOGNISER, GENERATOR])
    models = {name: open_model(argparse.Namespace(model=name)) for name in names}
    generators = [name for name, model in models.items() if isinstance(model, Generates)]
    with sigterm_cleans_up(), serving(models, generators, args.port) as address:
        if not args.quiet:
            print_text(f"the page is at {address} (Ctrl-C ends it)")
            flush_stdout()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            pass  # the way in which a server ends
    return 0
