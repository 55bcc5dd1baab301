"""What makes a release: wheel, bundle, packages, pins, and what is checked before it goes out.

For maintainers alone: nothing here is installed, and the package knows nothing of it.
"""
