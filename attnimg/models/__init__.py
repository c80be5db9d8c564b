"""Models: sources, weight files, construction of nets, devices and backends."""
