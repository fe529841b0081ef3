"""Where the store is kept: image, encryption, file system; opened as context managers, verified when closed."""
