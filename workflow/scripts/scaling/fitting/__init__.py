"""The fitting engine, which knows no law by name.

``solver`` minimises many small robust problems at once; ``resampling`` draws whole runs; ``selection`` is
the points of a fit; ``fit`` puts them together: starts, certificate, intervals, forecast, rivals.
"""
