import pytest

from tests.inference.fake_model import FakeModel


@pytest.fixture
def model(monkeypatch):
    """The model that the commands open, whatever `--model` names."""
    fake = FakeModel()
    for command in ("predict", "transfer", "interpolate"):
        monkeypatch.setattr(f"tdgan_jax.cli.{command}.open_model", lambda _: fake)
    return fake
