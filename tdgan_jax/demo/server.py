"""Serves the page on this machine alone, and deletes what was uploaded at the end."""

import contextlib
import os
import re
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tdgan_jax.errors import UserError
from tdgan_jax.files import reason

HOST = "127.0.0.1"
# The browser asks no other host, whatever a page or a library says.
_POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "form-action 'self'; frame-ancestors 'none'"
)
_OFF = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_SHARE": "False",
    "GRADIO_MCP_SERVER": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
}


def require_gradio() -> None:
    """Imports Gradio, with its telemetry switched off before.

    Raises:
        UserError: If it is not installed.
    """
    os.environ.update(_OFF)
    try:
        import gradio  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as error:
        raise UserError("the demo needs Gradio: pip install 'tdgan-jax[demo]'") from error


def check_port(port: int) -> None:
    """Makes sure that a port is free, before models are opened.

    Raises:
        UserError: If something else listens there, or it takes more rights.
    """
    with socket.socket() as probe:
        # As the server does: connections that have ended do not keep a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise UserError(
                f"port {port} cannot be used ({reason(error)}); name another one with --port"
            ) from error


@contextlib.contextmanager
def serving(models: Mapping[str, Any], generators: list[str], port: int) -> Iterator[str]:
    """Serves the page during the block.

    Args:
        models: As for `page.build_page`.
        generators: The same.
        port: Of `HOST`.

    Yields:
        The address of the page.

    Raises:
        UserError: If Gradio is missing or the port is taken.
    """
    require_gradio()
    from tdgan_jax.demo.page import CSS, THEME, build_page

    with tempfile.TemporaryDirectory(prefix="tdgan_demo_", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder  # where uploads go
        _reach_without_proxy()
        page = build_page(models, generators, Path(folder))
        try:
            page.launch(
                server_name=HOST,
                server_port=port,
                share=False,
                prevent_thread_lock=True,
                inbrowser=False,
                quiet=True,
                ssr_mode=False,
                mcp_server=False,
                run_history=False,
                enable_monitoring=False,
                footer_links=[],
                theme=THEME,
                css=CSS,
                app_kwargs={"middleware": [_middleware()]},
            )
        except OSError as error:  # taken since it was checked
            raise UserError(f"port {port} is taken; name another one with --port") from error
        try:
            yield f"http://{HOST}:{port}"
        finally:
            page.close(verbose=False)


class OwnHostOnly:
    """Adds the policy to every answer."""

    def __init__(self, app: Any):
        """Takes the application."""
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Passes a request on."""

        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", _POLICY.encode())
                message = message | {"headers": [*message["headers"], policy]}
            await send(message)

        await self._app(scope, receive, send_with_policy)


def _middleware() -> Any:
    from starlette.middleware import Middleware  # pyright: ignore[reportMissingImports]

    return Middleware(OwnHostOnly)


def _reach_without_proxy() -> None:
    """Gradio asks its own server whether it answers; a proxy would ask another machine."""
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in re.split(r"\s*,\s*", os.environ.get(name, "")) if host]
        if HOST not in hosts:
            os.environ[name] = ",".join([*hosts, HOST])
