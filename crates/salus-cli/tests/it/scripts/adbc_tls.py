"""Asks a node over Flight SQL, trusting one certificate authority and no other."""

import sys

import adbc_driver_flightsql.dbapi as flightsql

uri, token, authority, sql = sys.argv[1:]
with open(authority, encoding="ascii") as pem:
    options = {
        "adbc.flight.sql.authorization_header": f"Bearer {token}",
        "adbc.flight.sql.client_option.tls_root_certs": pem.read(),
    }
try:
    with flightsql.connect(uri, db_kwargs=options, autocommit=True) as connection:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            print("answered", cursor.fetchall())
except Exception as error:
    print("refused", error)
