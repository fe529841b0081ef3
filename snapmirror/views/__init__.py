"""Results as data: the JSON of every command, and the basis of a later page in the browser.

Functions from results to what `json.dumps` takes; nothing here prints, asks or opens. Each module has a `VERSION`. A
field may be added within a version; removing a field or changing its meaning needs a new version. The printed JSON
holds no version, as before; tests/integration/golden holds the printed JSON, byte for byte.
"""
