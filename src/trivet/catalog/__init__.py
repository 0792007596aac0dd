"""What exists and what is wished for, durably: SQLite on one machine, PostgreSQL for several."""
