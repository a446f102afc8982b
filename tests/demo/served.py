"""`tdgan-jax demo --port N` with a model that can be computed by hand, in a process of its own."""

import sys

from tdgan_jax.cli import demo
from tdgan_jax.cli.main import main
from tests.inference.fake_model import FakeModel

demo.open_model = lambda _: FakeModel()
sys.exit(main(["demo", *sys.argv[1:]]))
