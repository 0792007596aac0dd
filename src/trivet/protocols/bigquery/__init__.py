"""BigQuery's REST API: the fronts pass its calls on to the process for SQL."""

from trivet.protocols.bigquery.front import BigQueryProtocol

PROTOCOL = BigQueryProtocol
