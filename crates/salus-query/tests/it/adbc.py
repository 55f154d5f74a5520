"""Asks the gateway through the published ADBC driver for Flight SQL."""

import sys

import adbc_driver_flightsql.dbapi as flightsql

uri = sys.argv[1]


def connect(token, role=None):
    options = {"adbc.flight.sql.authorization_header": f"Bearer {token}"}
    if role:
        options["adbc.flight.sql.rpc.call_header.salus-role"] = role
    return flightsql.connect(uri, db_kwargs=options, autocommit=True)


def refused(connection, sql, *parts):
    with connection.cursor() as cursor:
        try:
            cursor.execute(sql)
            cursor.fetchall()
        except Exception as error:
            for part in parts:
                assert part in str(error), f"{sql}: {error}"
        else:
            raise AssertionError(f"answered: {sql}")


with connect("dora") as dora, dora.cursor() as cursor:
    cursor.execute("SELECT id, food, kcal FROM meals WHERE kcal > 200 ORDER BY id")
    table = cursor.fetch_arrow_table()
    assert table.to_pydict() == {
        "id": [1, 3, 4],
        "food": ["soup", "soup", "liver"],
        "kcal": [250, 240, 610],
    }, table
    assert all(not field.metadata for field in table.schema)

    cursor.execute("SELECT id FROM meals WHERE food = $1 AND kcal > $2", ("soup", 245))
    assert cursor.fetchall() == [(1,)]
    cursor.execute("SELECT count(*) FROM meals WHERE food = $1", ("x' OR '1'='1",))
    assert cursor.fetchall() == [(0,)]

    objects = dora.adbc_get_objects(depth="tables").read_all().to_pylist()
    names = {
        table["table_name"]
        for catalog in objects
        for schema in catalog["catalog_db_schemas"]
        for table in schema["db_schema_tables"]
    }
    assert names == {"meals", "billing", "careteam"}, names
    assert dora.adbc_get_info()["vendor_name"] == "Salus"
    refused(dora, "DROP TABLE meals", "DROP TABLE is not allowed")

with connect("ann") as ann:
    with ann.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM meals")
        assert cursor.fetchall() == [(3,)]
    refused(ann, "SELECT insurance FROM meals", "may not read column 'insurance'")
    refused(ann, "SELECT * FROM billing", "no dataset 'billing'")
    schema = ann.adbc_get_table_schema("meals")
    assert "insurance" not in schema.names, schema

refused(connect("nobody"), "SELECT 1", "the access token is not valid")
refused(connect("ann", "physician"), "SELECT 1", "may not act in role 'physician'")

print("all is as it should be")
