"""What is shown, as data: the JSON of every command, and what a page in the browser will be made of.

Functions from results to what `json.dumps` takes; nothing here prints, asks or opens. Each module has a `VERSION`. A
field may be added within a version; it goes up when a field goes, or comes to mean something else. What is printed
holds no version, as it never did; tests/integration/golden holds what is printed, byte for byte.
"""
