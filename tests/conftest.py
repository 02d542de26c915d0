"""What tests of several rooms share: a chat server that does what a test says, commands, figures that are quick."""

import itertools
import json
import os
import runpy
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from affectome.cli import main

#: What asks for all cores gets one, for every core has a worker of tests already; tests of processes ask for two.
os.environ["LOKY_MAX_CPU_COUNT"] = "1"
#: Where Python is told to write no bytecode, each process that tests start would compile the package for itself.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@dataclass
class ScriptedServer:
    """Answers every request with what `answer(path, body)` returns: an answer's text, or (status, content)."""

    answer: object
    url: str = ""
    requests: list = field(default_factory=list)  # (path, body as JSON, or bytes where it is none)
    headers: list = field(default_factory=list)
    ids: object = field(default_factory=itertools.count)

    def bodies(self, path="/v1/chat/completions"):
        return [body for asked, body in self.requests if asked == path]

    def questions(self):
        """Chat requests that the start-up probe did not send."""
        return [body for body in self.bodies() if "Name a colour." not in json.dumps(body)]


def chat_answer(text, *, alternatives=None, finish="stop", usage=(10, 1, 0)):
    """The JSON of a chat completion; `alternatives` are the probabilities of possible first tokens."""
    import math

    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text}}
    if alternatives is not None:
        top = [{"token": token, "logprob": math.log(p) if p > 0 else -9999.0} for token, p in alternatives.items()]
        choice["logprobs"] = {"content": [{"token": text, "logprob": 0.0, "top_logprobs": top}]}
    counts = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    counts["prompt_tokens_details"] = {"cached_tokens": usage[2]}
    return {"id": "x", "model": "served-m", "choices": [choice], "usage": counts}


@pytest.fixture
def chat_server():
    """Start servers from functions; they end with the test."""
    running = []

    def start(answer):
        script = ScriptedServer(answer)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                try:
                    body = json.loads(raw) if raw else None
                except ValueError:
                    body = raw
                script.requests.append((self.path, body))
                script.headers.append(dict(self.headers))
                made = script.answer(self.path, body)
                status, content = made if isinstance(made, tuple) else (200, made)
                extra = {}
                if isinstance(content, tuple):
                    content, extra = content
                if isinstance(content, str):
                    content = chat_answer(content)
                if isinstance(content, dict) and content.get("id") == "x":
                    content = {**content, "id": f"chatcmpl-{next(script.ids)}"}  # of its own, as servers give
                sent = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(sent)))
                for name, value in extra.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = serve

            def log_message(self, *parts):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        script.url = f"http://127.0.0.1:{server.server_port}/v1"
        running.append((server, thread))
        return script

    yield start
    for server, thread in running:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def answer_json():
    """Makes the JSON of a chat completion."""
    return chat_answer


@pytest.fixture
def run(capsys):
    """Run a command in this process, as a user types it; give its exit code, stdout and stderr."""

    def call(*arguments):
        code = main([str(part) for part in arguments])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


@pytest.fixture(scope="session")
def drawing_quickly():
    """A context in which figures take little time: drawing takes most of what a small study needs, and has tests."""
    quick = runpy.run_path(str(Path(__file__).with_name("quick_figures.py")))["QUICK"]

    @contextmanager
    def context(*as_users_get_it):
        with pytest.MonkeyPatch.context() as patch:
            for name in quick.keys() - set(as_users_get_it):
                patch.setattr(name, quick[name])
            yield

    return context


@pytest.fixture(scope="module")
def quick_figures(drawing_quickly):
    """Figures take little time in a file of tests."""
    with drawing_quickly():
        yield
