"""`tdgan-jax demo --port N` with a model that can be computed by hand, in a process of its own."""

import signal
import sys
import time

import numpy as np

from tdgan_jax.cli import demo
from tdgan_jax.cli.main import main
from tests.inference.fake_model import FakeModel


def slow_affect(levels):
    """As if the model were large."""
    time.sleep(0.3)
    return np.stack([levels, -levels], axis=1)


def open_model(args):
    model = FakeModel()
    if args.model == "pretrained_tdgan":
        model.affect = slow_affect
    return model


demo.open_model = open_model
# A shell starts what runs in its background with Ctrl-C ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main(["demo", *sys.argv[1:]]))
