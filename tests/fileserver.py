"""A server of files with the faults of real ones, for the tests of what downloads."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves `files`; first gives the answers of `faults`, then cuts `cuts` of them in their middle.

    Args:
        ranges: whether it knows Range.
        lengths: whether it says how long an answer is.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.faults: list[int] = []
        self.cuts, self.ranges, self.lengths = 0, True, True
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        data = self.server.files.get(self.path.lstrip("/"))
        wanted = self.headers.get("Range", "")
        self.server.asked.append(wanted)
        if self.server.faults:
            self.send_response(self.server.faults.pop(0))
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if data is None:
            self.send_error(404)
            return
        begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and self.server.ranges else 0
        if begin >= len(data):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if begin else 200)
        if self.server.lengths:
            self.send_header("Content-Length", str(len(data) - begin))
        self.end_headers()
        if self.server.cuts:
            self.server.cuts -= 1
            self.wfile.write(data[begin : (begin + len(data)) // 2])
        else:
            self.wfile.write(data[begin:])
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass
