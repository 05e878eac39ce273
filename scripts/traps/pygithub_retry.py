"""PyGithub's default retry sends a POST again after a 502: one call, many comments.

A server on this machine counts what it receives. The wait between the tries is cut short; their number is
PyGithub's own.
"""

import http.server
import threading
from unittest import mock

import github


class Broken(http.server.BaseHTTPRequestHandler):
    """Takes every request, and then says that it did not work."""

    seen: list[str] = []  # noqa: RUF012 - one list for all requests is what is wanted

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append(f"{self.command} {self.path}")
        self.send_response(502)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _answer  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Broken)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}"
    for name, options in (("PyGithub as it comes", {}), ("with retry=None", {"retry": None})):
        Broken.seen.clear()
        client = github.Github(
            auth=github.Auth.Token("none"),
            base_url=base,
            seconds_between_writes=0,
            seconds_between_requests=0,
            lazy=True,
            **options,
        )
        repository = client.get_repo("owner/repo")
        with mock.patch("time.sleep"):
            try:
                repository.create_issue("one issue")
            except Exception as error:  # noqa: BLE001 - whatever it is, the count is the point
                print(
                    f"{name}: create_issue sent {len(Broken.seen)} POSTs, then raised {type(error).__name__}"
                )
    server.shutdown()


if __name__ == "__main__":
    main()
