"""The control plane of a feature store and of Unity Catalog, as far as the real FeatureEngineeringClient asks it.

`endpoints` answers the client's HTTP calls from Delta tables on disk, `server` puts routes on loopback, and
`local_client` lets the real client run its lookups and its models on an embedded engine.
"""
