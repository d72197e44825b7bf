"""Serve the page from this computer, without a request to any other."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hf_rspin.demo.options import NEEDS_GRADIO

if TYPE_CHECKING:
    import gradio

LARGEST_FILE = "200mb"
HOSTS = {True: "0.0.0.0", False: "127.0.0.1"}
FONTS = {"font": ("system-ui", "sans-serif"), "font_mono": ("ui-monospace", "monospace")}
# the browser itself refuses what would leave this computer
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:"
)


class OnlyThisHost:
    """ASGI middleware: answers carry the policy that forbids requests to other hosts.

    Args:
        app: what answers.
    """

    def __init__(self, app: Callable[..., Awaitable[None]]):
        self.app = app

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        """Answer, with the policy."""

        async def send_with_policy(message: dict) -> None:
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", POLICY.encode())
                message = {**message, "headers": [*message.get("headers", ()), policy]}
            await send(message)

        await self.app(scope, receive, send_with_policy)


def check_gradio() -> None:
    """Import Gradio, told to report to nobody.

    Raises:
        ValueError: it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when it is imported
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise ValueError(f"{NEEDS_GRADIO} ({error})") from error


@contextmanager
def serve(build: Callable[[], gradio.Blocks], port: int, listen: bool = False) -> Iterator[str]:
    """Serve a page while the block runs; what visitors recorded is removed after it.

    Args:
        build: makes the page; called here, for Gradio fixes the folder of its files then.
        port: to serve at.
        listen: to other computers too.

    Yields:
        The address for a browser on this computer.

    Raises:
        ValueError: the port is taken.
    """
    import gradio as gr
    from starlette.middleware import Middleware

    from hf_rspin.demo.words import STYLE
    from hf_rspin.resources import sample_folder

    fonts = {name: [gr.themes.Font(one) for one in found] for name, found in FONTS.items()}
    with tempfile.TemporaryDirectory(prefix="hf-rspin-demo-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        page = build()
        try:
            page.launch(
                server_name=HOSTS[listen], server_port=port, share=False, quiet=True,
                prevent_thread_lock=True, ssr_mode=False, enable_monitoring=False,
                max_file_size=LARGEST_FILE, allowed_paths=[str(sample_folder())], footer_links=[],
                app_kwargs={"middleware": [Middleware(OnlyThisHost)]}, css=STYLE,
                theme=gr.themes.Default(**fonts),
            )  # fmt: skip
        except OSError as error:
            raise ValueError(
                f"the port {port} cannot be used ({error}); name another one with --port."
            ) from error
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            page.close(verbose=False)
