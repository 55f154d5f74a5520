"""Asks questions under a permit through the ADBC driver for Flight SQL, and tries what it may not."""

import json
import sys

import adbc_driver_flightsql.dbapi as flightsql

uri, authority, token = sys.argv[1:]
with open(authority, encoding="ascii") as file:
    pem = file.read()


def connect(token):
    options = {
        "adbc.flight.sql.authorization_header": f"Bearer {token}",
        "adbc.flight.sql.client_option.tls_root_certs": pem,
    }
    return flightsql.connect(uri, db_kwargs=options, autocommit=True)


def ask(connection, statement, *values):
    with connection.cursor() as cursor:
        cursor.execute(statement, *values)
        table = cursor.fetch_arrow_table()
        return table.to_pylist()


def refused(work):
    try:
        work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    raise SystemExit("what should be refused was answered")


COUNT = "SELECT count(*) FROM visits WHERE sex = 'female'"
GROUPS = "SELECT sex, count(*) FROM visits GROUP BY sex"
with connect(token) as connection:
    tables = connection.adbc_get_objects(depth="columns").read_all().to_pylist()
    said = {
        "tables": json.loads(json.dumps(tables, default=str)),
        # What is refused costs nothing, and none of the two questions that are paid for.
        "column": refused(lambda: ask(connection, "SELECT count(*) FROM visits WHERE ward = 'w1'")),
        "rows": refused(lambda: ask(connection, "SELECT patient_id FROM visits")),
        "parameter": refused(lambda: ask(connection, "SELECT count(*) FROM visits WHERE sex = $1", ("male",))),
        "count": ask(connection, COUNT),
        "again": ask(connection, COUNT),
        "groups": ask(connection, GROUPS),
        "third": refused(lambda: ask(connection, "SELECT count(*) FROM visits")),
    }
for name, wrong in [("stranger", "salus_q_" + "0" * 64), ("shorter", token[:-1])]:
    with connect(wrong) as connection:
        said[name] = refused(lambda: ask(connection, COUNT))
print(json.dumps(said))
