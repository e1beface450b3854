#!/usr/bin/env python3
"""Writes countries.mmdb, the country database of the benchmark of questions.

Needs `pip install mmdb_writer netaddr`. Run it in this folder after changing a country.

The networks are parts of the one that is set aside for benchmarks (RFC 2544), in the order of the countries in
PLACES of dictionaries.rs.
"""

from mmdb_writer import MMDBWriter
from netaddr import IPNetwork, IPSet

COUNTRIES = ["US", "DE", "GB", "FR", "IN", "BR", "JP", "ES", "IT", "PL", "CA", "NL"]

writer = MMDBWriter(
    ip_version=6,
    ipv4_compatible=True,
    database_type="Tallymark-Bench",
    description="Tallymark benchmark",
    languages=["en"],
)
for network, country in zip(IPNetwork("198.18.0.0/15").subnet(19), COUNTRIES):
    writer.insert_network(IPSet([network]), {"country_code": country})
writer.to_db_file("countries.mmdb")
