"""moto's S3 server, with what a test wants to go wrong.

moto answers requests in threads and looks for an object before it puts one, so that two
conditional puts could both succeed; real stores decide in one step, and so does this one, by
letting in one put at a time. What goes wrong is read anew from a file at each request:

    deaf    conditional puts are carried out as if they had no condition
    lost    the answer to the first put of a version is not sent, though it was carried out
    slow    each put takes a fifth of a second longer
"""

import pathlib
import sys
import threading
import time

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

port, faults = int(sys.argv[1]), pathlib.Path(sys.argv[2])
inner = DomainDispatcherApplication(create_backend_app)
one_at_a_time = threading.Lock()


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, *_):
        pass


def app(environ, start_response):
    if environ["REQUEST_METHOD"] != "PUT":
        return inner(environ, start_response)
    wrong = faults.read_text(encoding="ascii").split()
    if "deaf" in wrong:
        environ.pop("HTTP_IF_NONE_MATCH", None)
    if "slow" in wrong:
        time.sleep(0.2)
    with one_at_a_time:
        answer = list(inner(environ, start_response))
    if "lost" in wrong and "/versions/" in environ["PATH_INFO"]:
        faults.write_text("", encoding="ascii")
        environ["werkzeug.socket"].shutdown(2)
    return answer


make_server("127.0.0.1", port, app, threaded=True, request_handler=Quiet).serve_forever()
