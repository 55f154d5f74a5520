"""Prepared statements with values, by the published Python client over the extended protocol."""

import sys

import psycopg

SOUP = "SELECT id FROM meals WHERE food = %s AND kcal > %s ORDER BY id"
COUNT = "SELECT count(*) FROM meals WHERE food = %s"

connection = psycopg.connect(
    host="localhost",
    port=int(sys.argv[1]),
    user="physician",
    password="dora",
    dbname="salus",
    sslmode="require",
    autocommit=True,
)
connection.prepare_threshold = 0
for _ in range(3):
    assert connection.execute(SOUP, ("soup", 245)).fetchall() == [(1,)]
assert connection.execute(COUNT, ("x' OR '1'='1",)).fetchall() == [(0,)]
try:
    connection.execute("SELECT id FROM meals WHERE kcal > %s", ("many",)).fetchall()
    raise SystemExit("a text was taken for a number")
except psycopg.Error as error:
    assert "many" not in str(error), error
assert connection.execute(COUNT, ("soup",)).fetchall() == [(2,)]
print("all is as it should be")
