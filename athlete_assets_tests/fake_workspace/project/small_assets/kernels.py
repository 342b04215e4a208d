"""A function that Spark's Python workers must import to call."""

import pyarrow as pa


def as_they_are(batches):
    for batch in batches:
        where = pa.array([__file__] * batch.num_rows)
        yield pa.RecordBatch.from_arrays([batch.column(0), where], ["day", "module"])
