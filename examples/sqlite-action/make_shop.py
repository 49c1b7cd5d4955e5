"""Write shop.db, the database that the loop reads."""

import sqlite3

with sqlite3.connect("shop.db") as connection:
    connection.execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, price REAL, paid INTEGER)")
    connection.executemany("INSERT OR REPLACE INTO orders VALUES (?, ?, ?)", [(1, 150, 0), (2, 30, 0), (3, 400, 1), (4, 120, 0)])
