"""SQL: `CREATE MODEL` and `ML.PREDICT` over DuckDB, in BigQuery's dialect."""
