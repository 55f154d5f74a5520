"""Makes each call of Flight SQL that the driver knows, with a right token and with wrong ones."""

import sys

import adbc_driver_flightsql.dbapi as flightsql
import pyarrow.flight as flight

uri, authority, right, *wrong = sys.argv[1:]
with open(authority, encoding="ascii") as file:
    pem = file.read()
SQL = "SELECT pulse FROM visits"


def connect(token):
    options = {
        "adbc.flight.sql.authorization_header": f"Bearer {token}",
        "adbc.flight.sql.client_option.tls_root_certs": pem,
    }
    return flightsql.connect(uri, db_kwargs=options, autocommit=True)


def execute(connection):
    with connection.cursor() as cursor:
        cursor.execute(SQL)
        return cursor.fetchall()


def prepare(connection):
    with connection.cursor() as cursor:
        return cursor.adbc_prepare(SQL)


def bound(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pulse FROM visits WHERE pulse = $1", (4711,))
        return cursor.fetchall()


CALLS = {
    "execute": execute,
    "prepare": prepare,
    "bound": bound,
    "objects": lambda c: c.adbc_get_objects(depth="columns").read_all().to_pylist(),
    "table types": lambda c: c.adbc_get_table_types(),
    "table schema": lambda c: c.adbc_get_table_schema("visits"),
    "info": lambda c: c.adbc_get_info(),
}
refused = 0
with connect(right) as connection:
    for name, call in CALLS.items():
        call(connection)
for token in wrong:
    for name, call in CALLS.items():
        try:
            with connect(token) as connection:
                found = call(connection)
        except Exception as error:
            assert "4711" not in str(error), f"{name}: {error}"
            assert "nauth" in str(error), f"{name}: {error}"
            refused += 1
        else:
            if name == "info":
                # The driver answers with what it knows itself; of the server it must know nothing.
                assert not any("vendor" in str(key) and value for key, value in found.items()), found
                refused += 1
                continue
            raise SystemExit(f"{name} was answered to {token}: {found}")
# Without any header at all, at the level of gRPC: each kind of call.
client = flight.FlightClient(uri.replace("grpc+tls", "grpc+tls"), tls_root_certs=pem)
ticket = flight.Ticket(SQL.encode())
descriptor = flight.FlightDescriptor.for_command(SQL.encode())
for name, call in {
    "get_flight_info": lambda: client.get_flight_info(descriptor),
    "do_get": lambda: client.do_get(ticket).read_all(),
    "do_action": lambda: list(client.do_action(flight.Action("CreatePreparedStatement", b""))),
    "list_flights": lambda: list(client.list_flights()),
    "list_actions": lambda: client.list_actions(),
    "handshake": lambda: client.authenticate_basic_token("ann", wrong[0]),
}.items():
    try:
        found = call()
    except Exception:
        refused += 1
    else:
        # Which actions there are is the protocol's, the same everywhere.
        assert name == "list_actions", f"{name} was answered: {found}"
assert refused >= 19, refused
print("each call was refused", refused)
