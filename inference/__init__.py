"""Reading scans: model versions, analyses, findings, and the engine that makes them."""
