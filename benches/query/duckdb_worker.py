#!/usr/bin/env python3
"""DuckDB as a process: duckdb_worker.py FILE THREADS

Reads requests from standard input, a JSON object a line, and answers each with one:

    {"execute": SQL}            nothing
    {"rows": SQL}               {"rows": [[...], ...]}, times as microseconds of Unix time
    {"time": [SQL, ...]}        {"ms": milliseconds of all one after the other}

or {"error": TEXT}. What is timed ends when DuckDB has the whole result in its memory: neither fetching it nor
making Python's objects of it counts.
"""

import datetime
import json
import sys
import time

import duckdb

EPOCH = datetime.datetime(1970, 1, 1)
MICROSECOND = datetime.timedelta(microseconds=1)


def plain(value):
    if isinstance(value, datetime.datetime):
        return (value - EPOCH) // MICROSECOND
    if isinstance(value, datetime.date):
        return plain(datetime.datetime.combine(value, datetime.time()))
    return value


def answer(connection, request):
    if "execute" in request:
        connection.execute(request["execute"])
        return {}
    if "rows" in request:
        rows = connection.execute(request["rows"]).fetchall()
        return {"rows": [[plain(value) for value in row] for row in rows]}
    started = time.perf_counter()
    for sql in request["time"]:
        connection.sql(sql).execute()
    return {"ms": (time.perf_counter() - started) * 1000}


def main():
    _, file, threads = sys.argv
    connection = duckdb.connect(file, config={"threads": int(threads)})
    for line in sys.stdin:
        try:
            reply = answer(connection, json.loads(line))
        except duckdb.Error as error:
            reply = {"error": str(error)}
        print(json.dumps(reply), flush=True)


main()
