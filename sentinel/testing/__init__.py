"""What the tests of Task Sentinel, of its stores and of your own tasks are made with.

Nothing in the product imports this package. `conformance` needs pytest; the rest needs nothing more than
the product.
"""
