"""Measures the product: each folder that has a `__main__` is a bench, `python -m bench.NAME`.

Here belong measurements and simulations that end in figures; a promise that holds or does not is a
test. What benches share is in `report`, `peers` and `servers`. The product never imports this
package.
"""
