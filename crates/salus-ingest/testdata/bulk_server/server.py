"""A small FHIR server with Bulk Data export, search, history and SMART Backend Services."""

import base64
import gzip
import hashlib
import ipaddress
import json
import os
import secrets
import ssl
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

KNOBS = {
    "auth": False,  # bearer tokens are demanded
    "static_token": None,  # one that is accepted besides those issued
    "client_id": "salus-site",
    "token_life": 300,
    "busy_tokens": 0,  # so many token requests are answered with 503
    "bulk": True,
    "history": True,
    "polls": 1,  # so many times an export is not done yet
    "busy_polls": 0,  # so many times 429 comes first
    "failing_polls": 0,  # so many times 500 with a transient outcome
    "failed": False,  # 500 with a lasting outcome that names a patient
    "job_gone": 0,  # so many jobs are forgotten when asked for
    "retry_after": None,
    "kick_off": None,  # status and diagnostics in place of 202
    "gzip": True,
    "ranges": True,
    "break_at": None,  # the connection breaks after so many bytes of a file
    "breaks": 0,  # so many times
    "expired_files": 0,  # so many requests for files are answered with 404
    "swap_after_break": False,  # what follows a break is of another file
    "files_at_other": False,  # files are named at the other origin
    "requires_token": True,
    "redirect_files": None,  # where requests for files are sent on to: "same" or "other"
    "status_at_other": False,
    "next_at_other": False,
    "count_off": 0,  # added to the counts in the manifest
    "extra_lines": {},  # by type, raw lines that are added to its file
    "errors": [],  # OperationOutcomes in the manifest's error file
    "slow": 0.0,  # seconds before each line of a file
    "page": 3,
    "transaction_time": None,
}

LOCK = threading.RLock()
STATE = {
    "resources": {},  # "Type/id" -> list of versions; None in a version's resource: deleted
    "jobs": {},
    "tokens": {},
    "jtis": set(),
    "log": [],
    "clock": datetime(2026, 1, 1, tzinfo=timezone.utc),  # of the last write
}
PORTS = {}
JWKS = []


def tick():
    now = datetime.now(timezone.utc)
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    STATE["clock"] = max(now, STATE["clock"] + timedelta(milliseconds=1))
    return STATE["clock"]


def instant(moment):
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def outcome(code, text):
    issue = {"severity": "error", "code": code, "diagnostics": text}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def store(resource):
    key = f"{resource['resourceType']}/{resource['id']}"
    versions = STATE["resources"].setdefault(key, [])
    now = tick()
    resource["meta"] = {"versionId": str(len(versions) + 1), "lastUpdated": instant(now)}
    versions.append((now, resource))


def delete(key):
    STATE["resources"][key].append((tick(), None))


def current(kind=None, since=None):
    for key, versions in STATE["resources"].items():
        moment, resource = versions[-1]
        if kind and not key.startswith(kind + "/"):
            continue
        if since and moment < since:
            continue
        yield key, moment, resource


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    @property
    def origin(self):
        scheme = "https" if PORTS.get("tls") == self.server.server_address[1] else "http"
        return f"{scheme}://127.0.0.1:{self.server.server_address[1]}"

    @property
    def other(self):
        return f"http://127.0.0.1:{PORTS['other']}"

    def note(self):
        names = ["authorization", "range", "prefer", "accept", "accept-encoding"]
        STATE["log"].append(
            {
                "method": self.command,
                "path": self.path,
                "other": self.server.server_address[1] == PORTS["other"],
                **{name: self.headers.get(name) for name in names},
            }
        )

    def answer(self, status, body=None, headers=None, kind="application/fhir+json"):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(data)

    def wait_headers(self):
        after = KNOBS["retry_after"]
        return {} if after is None else {"Retry-After": after}

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def allowed(self):
        if not KNOBS["auth"]:
            return True
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if token and token == KNOBS["static_token"]:
            return True
        if STATE["tokens"].get(token, 0) > time.time():
            return True
        self.answer(401, outcome("login", "a token is needed"))
        return False

    def do_POST(self):
        with LOCK:
            self.post()

    def post(self):
        path = urlsplit(self.path).path
        body = self.body()
        if path == "/_control":
            KNOBS.update(json.loads(body))
            return self.answer(200, {})
        if path == "/_store":
            for resource in json.loads(body):
                store(resource)
            return self.answer(200, {})
        if path == "/_delete":
            for key in json.loads(body):
                delete(key)
            return self.answer(200, {})
        if path == "/_revoke":
            STATE["tokens"].clear()
            return self.answer(200, {})
        self.note()
        if path == "/token":
            return self.token(body)
        self.answer(404, outcome("not-found", "no such page"))

    def token(self, body):
        if KNOBS["busy_tokens"] > 0:
            KNOBS["busy_tokens"] -= 1
            return self.answer(503, {}, self.wait_headers())
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}

        def refuse(text):
            self.answer(400, {"error": "invalid_client", "error_description": text})

        assertion_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        if form.get("grant_type") != "client_credentials":
            return refuse("grant_type")
        if form.get("client_assertion_type") != assertion_type:
            return refuse("client_assertion_type")
        assertion = form.get("client_assertion", "")
        try:
            header = jwt.get_unverified_header(assertion)
            key = next(k for k in JWKS if k["kid"] == header.get("kid"))
            if header["alg"] not in ("RS384", "ES384") or header.get("typ") != "JWT":
                return refuse("alg")
            claims = jwt.decode(
                assertion,
                jwt.PyJWK(key).key,
                algorithms=["RS384", "ES384"],
                audience=f"{self.origin}/token",
                issuer=KNOBS["client_id"],
                options={"require": ["exp", "iss", "sub", "aud", "jti"]},
            )
        except StopIteration:
            return refuse("unknown kid")
        except jwt.PyJWTError as error:
            return refuse(type(error).__name__)
        if claims["sub"] != claims["iss"] or claims["exp"] > time.time() + 300:
            return refuse("sub or exp")
        if claims["jti"] in STATE["jtis"]:
            return refuse("replay")
        STATE["jtis"].add(claims["jti"])
        token = secrets.token_urlsafe(32)
        STATE["tokens"][token] = time.time() + KNOBS["token_life"]
        STATE["log"][-1]["scope"] = form.get("scope")
        STATE["log"][-1]["alg"] = header["alg"]
        answer = {"access_token": token, "token_type": "bearer"}
        answer |= {"expires_in": KNOBS["token_life"], "scope": form.get("scope")}
        self.answer(200, answer, {"Cache-Control": "no-store"}, "application/json")

    def do_DELETE(self):
        with LOCK:
            self.note()
            if not self.allowed():
                return
            job = urlsplit(self.path).path.removeprefix("/jobs/")
            self.answer(202 if STATE["jobs"].pop(job, None) else 404)

    def do_GET(self):
        url = urlsplit(self.path)
        with LOCK:
            if url.path == "/_log":
                return self.answer(200, STATE["log"])
            self.note()
            if url.path == "/fhir/.well-known/smart-configuration":
                return self.answer(200, self.smart(), kind="application/json")
            # The other origin stands for an object store: it knows no tokens.
            if self.server.server_address[1] != PORTS["other"] and not self.allowed():
                return
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            parts = url.path.strip("/").split("/")
            if url.path.startswith("/files/"):
                file = self.file(parts)
            else:
                return self.get(url.path, parts, query)
        if file is not None:
            self.send_file(*file)

    def get(self, path, parts, query):
        if path == "/fhir/metadata":
            return self.answer(200, self.statement())
        if path.endswith("/$export"):
            return self.kick_off(path, query)
        if parts[0] == "jobs":
            return self.job(parts[1])
        if path == "/fhir/_history" and KNOBS["history"]:
            return self.history(query)
        if len(parts) == 2 and parts[0] == "fhir":
            return self.search(parts[1], query)
        self.answer(404, outcome("not-found", "no such page"))

    def smart(self):
        return {
            "token_endpoint": f"{self.origin}/token",
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
            "grant_types_supported": ["client_credentials"],
            "capabilities": ["client-confidential-asymmetric", "permission-v2"],
        }

    def statement(self):
        kinds = sorted({key.split("/")[0] for key in STATE["resources"]})
        search = [{"code": "read"}, {"code": "search-type"}]
        definition = "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export"
        rest = {
            "mode": "server",
            "resource": [{"type": kind, "interaction": search} for kind in kinds],
            "interaction": [{"code": "history-system"}] if KNOBS["history"] else [],
        }
        if KNOBS["bulk"]:
            rest["operation"] = [{"name": "export", "definition": definition}]
        return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [rest]}

    def kick_off(self, path, query):
        if KNOBS["kick_off"]:
            status, text = KNOBS["kick_off"]
            return self.answer(status, outcome("not-supported", text))
        if self.headers.get("Prefer") != "respond-async":
            return self.answer(400, outcome("invalid", "Prefer: respond-async is needed"))
        job = secrets.token_urlsafe(8)
        since = query.get("_since")
        since = since and datetime.fromisoformat(since.replace("Z", "+00:00"))
        kinds = [kind for kind in query.get("_type", "").split(",") if kind]
        STATE["jobs"][job] = self.export(kinds, since, path) | {"polls": KNOBS["polls"]}
        origin = self.other if KNOBS["status_at_other"] else self.origin
        self.answer(202, None, {"Content-Location": f"{origin}/jobs/{job}"})

    def export(self, kinds, since, path):
        now = tick()
        output, deleted = {}, []
        for key, _, resource in current(since=since):
            kind = key.split("/")[0]
            if kinds and kind not in kinds:
                continue
            if resource is not None:
                output.setdefault(kind, []).append(json.dumps(resource))
            elif since:
                request = {"method": "DELETE", "url": key}
                entry = [{"request": request}]
                bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entry}
                deleted.append(json.dumps(bundle))
        files = []
        for kind, lines in sorted(output.items()):
            lines = lines + KNOBS["extra_lines"].get(kind, [])
            files.append(("output", kind, lines))
        if deleted:
            files.append(("deleted", "Bundle", deleted))
        if KNOBS["errors"]:
            lines = [json.dumps(error) for error in KNOBS["errors"]]
            files.append(("error", "OperationOutcome", lines))
        time_of = KNOBS["transaction_time"] or instant(now)
        return {"files": files, "time": time_of, "request": f"{self.origin}{path}"}

    def job(self, name):
        job = STATE["jobs"].get(name)
        if job is None:
            return self.answer(404, outcome("not-found", "no such export"))
        if KNOBS["job_gone"] > 0:
            KNOBS["job_gone"] -= 1
            del STATE["jobs"][name]
            return self.answer(410, outcome("not-found", "expired"))
        if KNOBS["busy_polls"] > 0:
            KNOBS["busy_polls"] -= 1
            return self.answer(429, outcome("throttled", "slow down"), self.wait_headers())
        if KNOBS["failing_polls"] > 0:
            KNOBS["failing_polls"] -= 1
            return self.answer(500, outcome("transient", "try again"))
        if KNOBS["failed"]:
            return self.answer(500, outcome("exception", "Patient/MARKER-1 broke it"))
        if job["polls"] > 0:
            job["polls"] -= 1
            headers = {"X-Progress": f"{job['polls']} steps left", **self.wait_headers()}
            return self.answer(202, None, headers)
        origin = self.other if KNOBS["files_at_other"] else self.origin
        manifest = {"transactionTime": job["time"], "request": job["request"]}
        manifest |= {"requiresAccessToken": KNOBS["requires_token"]}
        manifest |= {"output": [], "deleted": [], "error": []}
        for at, (group, kind, lines) in enumerate(job["files"]):
            url = f"{origin}/files/{name}/{at}?signature=SECRET-SIGNATURE"
            count = len(lines) + (KNOBS["count_off"] if group == "output" else 0)
            manifest[group].append({"type": kind, "url": url, "count": count})
        self.answer(200, manifest, kind="application/json")

    def file(self, parts):
        if KNOBS["expired_files"] > 0:
            KNOBS["expired_files"] -= 1
            return self.answer(404, outcome("not-found", "expired"))
        if KNOBS["redirect_files"] and "moved" not in self.path:
            origin = self.other if KNOBS["redirect_files"] == "other" else self.origin
            return self.answer(307, None, {"Location": f"{origin}{self.path}&moved=1"})
        job = STATE["jobs"].get(parts[1])
        if job is None:
            return self.answer(404, outcome("not-found", "no such file"))
        lines = job["files"][int(parts[2])][2]
        data = "".join(line + "\n" for line in lines).encode()
        if data.endswith(b"@\n"):  # a line that ends in @ is cut off there
            data = data[:-2]
        if KNOBS["breaks"] > 0 and KNOBS["break_at"] is not None:
            KNOBS["breaks"] -= 1
            if KNOBS["swap_after_break"] and KNOBS["breaks"] == 0:
                job["files"][int(parts[2])][2].reverse()
            return data, KNOBS["break_at"]
        return data, None

    def send_file(self, data, break_at):
        tag = '"' + hashlib.sha256(data).hexdigest()[:16] + '"'
        headers = {"Content-Type": "application/fhir+ndjson", "ETag": tag}
        status = 200
        wanted = self.headers.get("Range")
        fresh = self.headers.get("If-Range") in (None, tag)
        if wanted and KNOBS["ranges"] and fresh:
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            data, status = data[start:], 206
        elif KNOBS["gzip"] and "gzip" in (self.headers.get("Accept-Encoding") or ""):
            data = gzip.compress(data)
            headers["Content-Encoding"] = "gzip"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if break_at is not None and break_at < len(data):
            self.wfile.write(data[:break_at])
            self.wfile.flush()
            self.close_connection = True
            return
        for line in data.splitlines(keepends=True) if KNOBS["slow"] else [data]:
            time.sleep(KNOBS["slow"])
            self.wfile.write(line)

    def page_of(self, entries, query, kind):
        start = int(query.pop("_offset", 0))
        size = min(int(query.get("_count", 10)), KNOBS["page"])
        bundle = {"resourceType": "Bundle", "type": kind, "link": []}
        bundle["entry"] = entries[start : start + size]
        if start + size < len(entries):
            origin = self.other if KNOBS["next_at_other"] else self.origin
            rest = "&".join(f"{name}={value}" for name, value in query.items())
            url = f"{origin}{urlsplit(self.path).path}?{rest}&_offset={start + size}"
            bundle["link"].append({"relation": "next", "url": url})
        self.answer(200, bundle)

    def search(self, kind, query):
        since = query.get("_lastUpdated", "ge").removeprefix("ge")
        since = datetime.fromisoformat(since.replace("Z", "+00:00")) if since else None
        found = [(m, r) for _, m, r in current(kind, since) if r is not None]
        found.sort(key=lambda pair: pair[0])
        entries = [{"resource": r, "search": {"mode": "match"}} for _, r in found]
        self.page_of(entries, query, "searchset")

    def history(self, query):
        since = datetime.fromisoformat(query["_since"].replace("Z", "+00:00"))
        found = []
        for key, versions in STATE["resources"].items():
            for moment, resource in versions:
                if moment < since:
                    continue
                method = "DELETE" if resource is None else "PUT"
                entry = {"request": {"method": method, "url": key}}
                entry["response"] = {"status": "200", "lastModified": instant(moment)}
                if resource is not None:
                    entry["resource"] = resource
                found.append((moment, entry))
        found.sort(key=lambda pair: pair[0], reverse=True)
        self.page_of([entry for _, entry in found], query, "history")


def number(value):
    data = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def coordinate(value):
    return base64.urlsafe_b64encode(value.to_bytes(48, "big")).rstrip(b"=").decode()


def write(folder, name, data):
    path = os.path.join(folder, name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)


def make_keys(folder):
    def pem(key, form):
        plain = serialization.NoEncryption()
        return key.private_bytes(serialization.Encoding.PEM, form, plain)

    key = rsa.generate_private_key(65537, 2048)
    write(folder, "rsa.pem", pem(key, serialization.PrivateFormat.PKCS8))
    write(folder, "rsa-pkcs1.pem", pem(key, serialization.PrivateFormat.TraditionalOpenSSL))
    n = key.private_numbers()
    public = {"kty": "RSA", "kid": "rsa-1", "n": number(n.public_numbers.n), "e": "AQAB"}
    private = {"d": n.d, "p": n.p, "q": n.q, "dp": n.dmp1, "dq": n.dmq1, "qi": n.iqmp}
    jwk = public | {name: number(value) for name, value in private.items()}
    write(folder, "rsa.jwk", json.dumps(jwk).encode())
    JWKS.append(public | {"alg": "RS384"})

    key = ec.generate_private_key(ec.SECP384R1())
    write(folder, "ec.pem", pem(key, serialization.PrivateFormat.PKCS8))
    write(folder, "ec-sec1.pem", pem(key, serialization.PrivateFormat.TraditionalOpenSSL))
    n = key.private_numbers()
    point = {"x": coordinate(n.public_numbers.x), "y": coordinate(n.public_numbers.y)}
    public = {"kty": "EC", "crv": "P-384", "kid": "ec-1"} | point
    write(folder, "ec.jwk", json.dumps(public | {"d": coordinate(n.private_value)}).encode())
    JWKS.append(public | {"alg": "ES384"})

    stranger = ec.generate_private_key(ec.SECP384R1())
    write(folder, "stranger.pem", pem(stranger, serialization.PrivateFormat.PKCS8))
    small = ec.generate_private_key(ec.SECP256R1())
    write(folder, "p256.pem", pem(small, serialization.PrivateFormat.PKCS8))
    write(folder, "jwks.json", json.dumps({"keys": JWKS}).encode())


def make_certificate(folder):
    authority = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test Authority")])
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now = datetime.now(timezone.utc)

    def certificate(subject, public, constraints, names):
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(constraints, critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        signed = builder.sign(authority, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM)

    top = x509.BasicConstraints(ca=True, path_length=None)
    leaf = x509.BasicConstraints(ca=False, path_length=None)
    write(folder, "ca.pem", certificate(issuer, authority.public_key(), top, []))
    write(folder, "tls.pem", certificate(name, key.public_key(), leaf, [address]))
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    write(folder, "tls.key", key.private_bytes(serialization.Encoding.PEM, form, plain))


def main():
    folder = sys.argv[1]
    make_keys(folder)
    make_certificate(folder)
    servers = {}
    for name in ("main", "other", "tls"):
        servers[name] = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers[name].daemon_threads = True
        PORTS[name] = servers[name].server_address[1]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(folder, "tls.pem"), os.path.join(folder, "tls.key"))
    servers["tls"].socket = context.wrap_socket(servers["tls"].socket, server_side=True)
    for server in servers.values():
        threading.Thread(target=server.serve_forever, daemon=True).start()
    write(folder, "ports.new", json.dumps(PORTS).encode())
    os.rename(os.path.join(folder, "ports.new"), os.path.join(folder, "ports.json"))
    threading.Event().wait()


main()
